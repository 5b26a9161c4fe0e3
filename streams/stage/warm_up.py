"""Compile what a stage compiles, once, on rows of nobody: otherwise the first events would wait for it."""

import numpy as np

from contracts.frame import Columns, position, strings
from contracts.lanes import LaneWriter
from features.catalog import CUSTOMER
from features.feast_tiles import arguments
from features.warm_up import exercise
from streams.stage.core import Marker, StageCore
from streams.stage.definition import StageDefinition


def warm_up(definition: StageDefinition) -> None:
    """Fold a row of each kind through a stage that is thrown away, and ask its state all it may be asked."""
    exercise(definition.entity)
    core = StageCore("warm/0", definition.rows(0), Marker(input_offset=0, lanes={}, definitions_hash=""))
    offset = 0
    for kind in core.rows.columns:
        lane = LaneWriter(f"warm/{kind}", 0)
        for many in (1, 2):  # the columns of one record are its bytes; those of several are copies
            records = []
            for _ in range(many):
                row = nobody() | {"pos": np.array([position(offset)])}
                made = lane.emit(kind, row, np.zeros(1, np.int32), position(offset + 1))
                records.append((offset, made[0][1]))
                offset += 1
            core.batch(records)
    again = definition.rows(0)
    again.load({key: blob for key, blob in core.snapshot().entries if blob is not None}, {})
    rows = again.latest()
    if rows.tiles is not None:
        arguments(np.zeros((1, 1), np.uint8), rows.tiles.packed)


def nobody() -> Columns:
    """Return one row with the columns of every kind."""
    numbers = ["pos", "raw_offset", "appended_ms", "event_time", "label_time", "amount_minor", "customer_pos"]
    words = [
        "transaction_id",
        "customer_id",
        "terminal_id",
        "currency",
        "channel",
        "country",
        "source",
        "traceparent",
    ]
    rows: Columns = {name: np.ones(1, np.int64) for name in numbers}
    rows |= {name: strings(["warm"]) for name in words}
    rows |= {name: np.zeros(1, np.int32) for name in ("raw_partition", "customer_partition")}
    rows |= {name: np.zeros(1, np.uint8) for name in ("label", "late")}
    rows["content_hash"] = np.zeros(1, np.uint64)
    rows["customer_values"] = np.zeros((1, len(CUSTOMER.columns)))
    return rows


if __name__ == "__main__":  # the set-up compiles into the on-disk cache, so that no first start waits for it
    for stage in ("customer", "terminal"):
        warm_up(StageDefinition(stage, ""))
