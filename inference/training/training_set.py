"""The point-in-time training set: what each payment was served with, and what it turned out to be.

Streamed features are read from the feature log by transaction, so ties and late events are in them as the
scorer met them; nothing is recomputed. Labels come from the labels the gate accepted, and only those that
were known at the training moment. Batch features come through Feast's point-in-time join.
"""

import hashlib

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import ModelError
from features.catalog import CUSTOMER, TERMINAL
from features.vector import assemble
from inference.backfill.rows import PLACE
from inference.lake.lake import Lake
from inference.lake.profile_history import ProfileHistory
from inference.training.streamed_values import streamed_values

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A payment counts once, by its latest label known at the moment; a repeated id after the stream's memory of
# a day is another payment, and a label cannot say which it means: the first one has it.
_LABELLED = """
WITH known AS (
    SELECT transaction_id, label, label_time FROM labels WHERE label_time <= $until
    QUALIFY row_number() OVER (
        PARTITION BY transaction_id ORDER BY label_time DESC, partition DESC, terminal_pos DESC) = 1
), served AS (
    SELECT transaction_id, event_time, row FROM payments WHERE event_time <= $until
    QUALIFY row_number() OVER (PARTITION BY transaction_id ORDER BY event_time, row) = 1
)
SELECT served.row, known.label, known.label_time
FROM served JOIN known USING (transaction_id)
ORDER BY served.event_time, served.transaction_id
"""


class TrainingSet(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled payments in order of event time; all columns have n rows.

    `vectors` is (n, f) in the service's order; `label_ms` is when the label became known.
    """

    vectors: Floats
    fraud: Ints
    event_ms: Ints
    label_ms: Ints
    customer: NDArray[np.bytes_]
    until_ms: int
    data_hash: str

    def __len__(self) -> int:
        return len(self.fraud)


def newest_ms(lake: Lake) -> int:
    """Return the newest moment the lake knows of: the default training moment.

    The clock of a replayed history is its newest event, whatever the clock on the wall says.
    """
    payments = int(lake.read("features", ["event_time"])["event_time"].to_numpy().max())
    if not lake.has("label_log"):
        return payments
    return max(payments, int(lake.read("label_log", ["label_time"])["label_time"].to_numpy().max()))


def build(lake: Lake, profiles: ProfileHistory, until_ms: int) -> TrainingSet:
    """Return all payments up to `until_ms` whose label was known by then.

    Raises:
        ModelError: E_TRAIN_LABELS, there is none.
        StateError: E_LAKE_EMPTY.
    """
    found = _labelled(lake, until_ms)
    if not found.num_rows:
        raise ModelError(
            "E_TRAIN_LABELS", f"no payment has a label known by {until_ms}", str(lake.folder),
            "wait until labels are due, or give a later --until",
        )  # fmt: skip
    columns = ["transaction_id", "customer_id", "event_time", "amount_minor"]
    rows = lake.read("features", [*columns, *PLACE, *CUSTOMER.columns, *TERMINAL.columns])
    served = rows.take(found["row"])
    event = {name: served[name].to_numpy() for name in ("amount_minor", "event_time")}
    customer_ids = served["customer_id"].to_numpy(zero_copy_only=False)
    profile = profiles.as_of(customer_ids, event["event_time"])
    customer, terminal = (streamed_values(lake, served, entity) for entity in (CUSTOMER, TERMINAL))
    vectors = assemble(event, customer, terminal, profile)
    fraud = found["label"].to_numpy().astype(np.int64)
    return TrainingSet(
        vectors=vectors, fraud=fraud, event_ms=event["event_time"], label_ms=found["label_time"].to_numpy(),
        customer=customer_ids.astype(np.bytes_), until_ms=until_ms,
        data_hash=_hash(served["transaction_id"], vectors, fraud),
    )  # fmt: skip


def _labelled(lake: Lake, until_ms: int) -> pa.Table:
    payments = lake.read("features", ["transaction_id", "event_time"])
    payments = payments.append_column("row", pa.array(np.arange(payments.num_rows)))
    with duckdb.connect() as database:
        database.register("payments", payments)
        database.register(
            "labels", lake.read("label_log", ["transaction_id", "label", "label_time", "terminal_pos"])
        )
        database.execute("SET threads = 1")
        return database.sql(_LABELLED, params={"until": until_ms}).to_arrow_table()


def _hash(transaction_ids: pa.ChunkedArray, vectors: Floats, fraud: Ints) -> str:
    """Hash what training reads: ids, vectors and outcomes, in order."""
    sha = hashlib.sha256()
    sha.update("\n".join(transaction_ids.to_pylist()).encode())
    sha.update(np.ascontiguousarray(vectors).tobytes())
    sha.update(np.ascontiguousarray(fraud).tobytes())
    return sha.hexdigest()
