"""What a frame costs beside Arrow IPC, by rows a batch.

    python -m load.bench.frame_codec

CPU microseconds a batch to encode and to decode, the same columns both ways, medians of repeats in turn.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from contracts.frame import Columns, Frame, Kind, decode, encode, strings

ROWS = (1, 10, 100, 1000)
REPEATS = 9
SEED = 3
NUMBERS = ("pos", "raw_offset", "event_time", "amount_minor")
IDS = ("customer_id", "terminal_id")


def batch(rows: int) -> Columns:
    """Return payments as the customer stage sends them, at their widths."""
    random = np.random.default_rng(SEED)
    numbers = {name: random.integers(0, 1 << 40, rows) for name in NUMBERS}
    ids = {name: strings([f"{name[0]}{n}" for n in random.integers(0, 99_999, rows)]) for name in IDS}
    return {**numbers, **ids, "customer_values": random.random((rows, 18))}


def to_arrow(rows: Columns) -> bytes:
    """Return the same batch as an Arrow IPC stream."""
    arrays = [
        pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), column.shape[1])
        if column.ndim == 2
        else pa.array(column)
        for column in rows.values()
    ]
    record_batch = pa.record_batch(arrays, names=list(rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, record_batch.schema) as writer:
        writer.write_batch(record_batch)
    return bytes(sink.getvalue())


def from_arrow(data: bytes) -> None:
    """Read it back to NumPy, as a stage would."""
    table = pa.ipc.open_stream(data).read_next_batch()
    for name in ("pos", "event_time", "amount_minor"):
        table.column(name).to_numpy()
    table.column("customer_values").flatten().to_numpy()


def cpu_us(call: Callable[[], object], count: int) -> float:
    """Return CPU microseconds a call."""
    began = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - began) / count * 1e6


def measured(rows: int) -> dict[str, float]:
    """Return the medians for one batch size."""
    columns = batch(rows)
    frame = Frame("events.customer/0", 0, rows, False, Kind.SCORED, columns)
    data, arrow = encode(frame), to_arrow(columns)
    calls: dict[str, Callable[[], object]] = {
        "frame_encode_us": lambda: encode(frame),
        "arrow_encode_us": lambda: to_arrow(columns),
        "frame_decode_us": lambda: decode(data),
        "arrow_decode_us": lambda: from_arrow(arrow),
    }
    figures: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            figures[name].append(cpu_us(call, 200))
    medians = {name: round(statistics.median(values), 1) for name, values in figures.items()}
    return {"rows": rows, **medians, "frame_bytes": len(data), "arrow_bytes": len(arrow)}


if __name__ == "__main__":
    for size in ROWS:
        sys.stdout.write(json.dumps(measured(size)) + "\n")
