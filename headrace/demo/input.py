"""What the demo feeds: a generated workload or given files, as records, with what judging them needs."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.frame import strings
from feature_repo.generate import workload
from feature_repo.generator.payments import generate
from features.catalog import PIPELINE
from headrace.demo.plan import DemoPlan
from headrace.traffic.form import Form, forms_of
from headrace.traffic.input_files import Records, TableRecords, open_records, read_table
from headrace.traffic.malformed import MalformedMix

FORMS = forms_of(PIPELINE)
PAYMENTS, LABELS = FORMS["transactions"], FORMS["labels"]


@dataclass(slots=True)
class DemoInput:
    """Records to send; per row the customer and time; per label its payment and whether it says fraud."""

    records: dict[Form, Records]
    malformed: MalformedMix | None
    ids: list[str]
    customer: NDArray[np.bytes_]
    event_ms: NDArray[np.int64]
    label_ids: list[str]
    label_fraud: NDArray[np.bool_]

    @property
    def moment_ms(self) -> NDArray[np.int64]:
        """Return when each leading record is delivered."""
        return next(iter(self.records.values())).moment_ms


def load_input(plan: DemoPlan) -> DemoInput:
    """Return the plan's input.

    Raises:
        ConfigError: the file cannot be used, or there are too few payments to split (E_DEMO_EVENTS).
    """
    payments, labels, payment_table, label_table = _given(plan) if plan.input_file else _generated(plan)
    ids = payments.ids()
    if len(ids) < 100:
        raise ConfigError(
            "E_DEMO_EVENTS", f"{len(ids)} payments are too few for history and a live part",
            str(plan.input_file or plan.workload), "give at least 100; a model needs some thousands",
        )  # fmt: skip
    ratio = plan.faults.malformed_ratio
    malformed = MalformedMix(payments, ratio, plan.seed) if ratio else None
    return DemoInput(
        records={PAYMENTS: malformed or payments} | ({LABELS: labels} if labels is not None else {}),
        malformed=malformed,
        ids=ids,
        customer=strings(payment_table["customer_id"].to_pylist()),
        event_ms=np.asarray(payment_table["event_time"]),
        label_ids=label_table["transaction_id"].to_pylist() if label_table is not None else [],
        label_fraud=_is_fraud(label_table),
    )


def _generated(plan: DemoPlan) -> tuple[Records, Records, pa.Table, pa.Table]:
    """Generate the workload, thinned to the number of events asked for: the same weeks, fewer payments."""
    named = workload(plan.workload)
    made = generate(named if plan.events is None else replace(named, events=plan.events))
    return (
        TableRecords(made.transactions, PAYMENTS, made.deliver_ms),
        TableRecords(made.labels, LABELS),
        made.transactions,
        made.labels,
    )


def _given(plan: DemoPlan) -> tuple[Records, Records | None, pa.Table, pa.Table | None]:
    path = plan.input_file
    if (
        path is None
        or path.suffix != ".parquet"
        or (plan.labels_file and plan.labels_file.suffix != ".parquet")
    ):
        raise ConfigError(
            "E_DEMO_INPUT", "the demo reads Parquet", str(path), "send NDJSON with `headrace produce`"
        )
    payments = open_records(path, PAYMENTS, plan.events)
    table = read_table(path, PAYMENTS).first(len(payments.moment_ms)).table
    if plan.labels_file is None:
        return payments, None, table, None
    labels = read_table(plan.labels_file, LABELS).table
    if "label" not in labels.column_names:
        raise ConfigError("E_INPUT_FIELDS", "label is missing", str(plan.labels_file), "say fraud or genuine")
    labels = labels.take(pc.sort_indices(labels, [("label_time", "ascending")]))
    return payments, open_records(plan.labels_file, LABELS), table, labels


def _is_fraud(labels: pa.Table | None) -> NDArray[np.bool_]:
    if labels is None:
        return np.zeros(0, np.bool_)
    return np.asarray(pc.equal(labels["label"], "fraud"))
