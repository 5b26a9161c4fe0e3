"""Does the feature log say what the raw events say, and the online store what the feature log says?

The keys with the smallest hashes are recomputed from their raw events in the order of the log, whole, so
that every row of a sampled key is judged. A stored row is judged at the position that it is stamped with.
"""

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.frame import Columns
from features.catalog import CUSTOMER, TERMINAL
from inference.lake.beginning import seeded_values
from inference.lake.lake import Lake
from inference.reading.online_reader import FeatureReader, StoreUnavailable
from inference.verify import lake as verify_lake
from inference.verify.cut import whole
from inference.verify.label_order import labels_early
from inference.verify.replay import Compared, compare
from inference.verify.sample import Sample, whole_keys
from inference.verify.store import StoreCompared, compare_store

Floats = NDArray[np.float64]


class Report(msgspec.Struct, kw_only=True):
    """What verification found; `store` is None with the reason beside it when Redis did not answer.

    `under_way` rows of the sample are too new to be judged: something before them is not in the lake yet.
    """

    customer: Compared
    terminal: Compared
    raw_unanswered: int
    log_unfounded: int
    labels: int
    label_early: int
    under_way: int = 0
    store: dict[str, StoreCompared] | None = None
    store_why: str = ""

    @property
    def mismatches(self) -> int:
        """Rows that are wrong for a reason other than lag."""
        wrong = self.customer.rows_wrong + self.customer.late_flags_wrong
        wrong += self.terminal.rows_wrong + self.terminal.late_flags_wrong
        stored = sum(part.wrong for part in (self.store or {}).values())
        return wrong + stored + self.log_unfounded + self.raw_unanswered

    @property
    def share(self) -> float:
        """Mismatches as a share of the rows that were judged, in the log and in the store."""
        judged = self.customer.rows + self.terminal.rows
        judged += sum(part.judged for part in (self.store or {}).values())
        return self.mismatches / max(1, judged)


class Entities(msgspec.Struct, frozen=True, kw_only=True):
    """Ordered rows of one entity's sample and what the log holds for them."""

    keys: NDArray[np.bytes_]
    rows: Columns
    logged: Floats


def verify(lake: Lake, reader: FeatureReader | None, epoch: int, rows_min: int) -> Report:
    """Return what a sample of about `rows_min` rows an entity shows; `reader` None leaves the store out.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    log, label_log = verify_lake.payments(lake), verify_lake.labels(lake)
    cut = whole(lake, log, label_log)
    customers = whole_keys(_keys(log, "customer_id"), rows_min)
    terminals = whole_keys(_keys(log, "terminal_id"), rows_min)
    judged = customers.rows & cut.customer
    customer, customer_compared = _customer(lake, log, Sample(customers.keys, judged))
    its_labels = label_log.filter(pa.array(cut.labels))
    mine = Sample(terminals.keys, terminals.rows & cut.terminal)
    terminal, terminal_compared = _terminal(lake, log, its_labels, mine)
    report = Report(
        customer=customer_compared,
        terminal=terminal_compared,
        raw_unanswered=verify_lake.unanswered(lake, log, customers.keys),
        log_unfounded=int(judged.sum()) - customer_compared.rows,
        labels=label_log.num_rows,
        label_early=_label_early(log, label_log),
        under_way=int((customers.rows & ~cut.customer).sum() + (terminals.rows & ~cut.terminal).sum()),
    )
    if reader is None:
        report.store_why = "no Redis given"
        return report
    try:
        stored = reader.read(customer.keys, terminal.keys)
    except StoreUnavailable as error:
        report.store_why = str(error)
        return report
    report.store = {
        entity.name: compare_store(
            entity, part.keys, read, part.rows, part.logged, epoch, seeded_values(lake, entity, part.keys)
        )
        for entity, part, read in ((CUSTOMER, customer, stored[0]), (TERMINAL, terminal, stored[1]))
    }
    return report


def _customer(lake: Lake, log: pa.Table, sample: Sample) -> tuple[Entities, Compared]:
    rows = verify_lake.kernel_columns(verify_lake.customer_rows(lake, log.filter(pa.array(sample.rows))))
    logged, held = verify_lake.logged_values(lake, CUSTOMER, rows)
    late = verify_lake.logged_late(lake, rows, verify_lake.CUSTOMER_LATE)
    return Entities(keys=sample.keys, rows=rows, logged=logged), compare(
        lake, CUSTOMER, rows, logged, held, late
    )


def _terminal(lake: Lake, log: pa.Table, label_log: pa.Table, sample: Sample) -> tuple[Entities, Compared]:
    mine = log.filter(pa.array(sample.rows))
    its_labels = verify_lake.only_keys(label_log, "terminal_id", sample.keys)
    rows = verify_lake.kernel_columns(verify_lake.terminal_rows(lake, mine, its_labels))
    logged, held = verify_lake.logged_values(lake, TERMINAL, rows)
    late = verify_lake.logged_late(lake, rows, verify_lake.TERMINAL_LATE)
    return Entities(keys=sample.keys, rows=rows, logged=logged), compare(
        lake, TERMINAL, rows, logged, held, late
    )


def _label_early(log: pa.Table, label_log: pa.Table) -> int:
    payments, labels = log.num_rows, label_log.num_rows
    return labels_early(
        np.concatenate([_keys(log, "terminal_id"), _keys(label_log, "terminal_id")]),
        np.concatenate([log["terminal_pos"].to_numpy(), label_log["terminal_pos"].to_numpy()]),
        np.concatenate([log["event_time"].to_numpy(), np.full(labels, -1, np.int64)]),
        np.concatenate([np.full(payments, -1, np.int64), label_log["label_time"].to_numpy()]),
    )


def _keys(table: pa.Table, column: str) -> NDArray[np.bytes_]:
    return np.array(table[column].to_pylist(), dtype=np.bytes_)
