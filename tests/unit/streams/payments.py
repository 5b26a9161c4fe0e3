"""Seeded input logs for the stages: frames as the gate writes them, in memory."""

import numpy as np

from contracts.frame import Columns, Kind, length, position, strings, take
from contracts.keys import hash64
from contracts.lanes import LaneWriter

Log = list[bytes]  # the records of one partition; the index is the offset


def events(
    rng: np.random.Generator, count: int, *, first_id: int = 0, start_ms: int = 1_700_000_000_000
) -> Columns:
    """Return accepted payments with a few late ones and a few repeats of earlier ids."""
    ids = np.arange(first_id, first_id + count)
    repeats = (rng.random(count) < 0.05) & (ids > first_id)
    ids[repeats] = ids[np.maximum(np.flatnonzero(repeats) - rng.integers(1, 9, repeats.sum()), 0)]
    names = strings([f"t{i}" for i in ids.tolist()])
    when = start_ms + ids * 20_000
    rng_late = rng.random(count) < 0.1
    return {
        "raw_partition": np.zeros(count, np.int32),
        "raw_offset": np.arange(first_id, first_id + count, dtype=np.int64),
        "appended_ms": when + 5,
        "transaction_id": names,
        "customer_id": strings([f"c{i * 7919 % 13}" for i in ids.tolist()]),
        "terminal_id": strings([f"m{i * 104729 % 17}" for i in ids.tolist()]),
        "event_time": when - rng_late * 3_600_000 * (ids % 5),
        "amount_minor": (ids * 37) % 9000,
        "currency": strings(["EUR"] * count),
        "channel": strings(["web"] * count),
        "country": strings([""] * count),
        "content_hash": hash64(names),
        "traceparent": strings([""] * count),
    }


def gate_log(rows: Columns, records: int) -> Log:
    """Return the gate's record batches of one lane for these rows."""
    writer, log = LaneWriter("transactions/0", 0), Log()
    pos = np.array([position(offset) for offset in rows["raw_offset"].tolist()], np.int64)
    rows = {"pos": pos, **rows}
    for part in np.array_split(np.arange(length(rows)), records):
        piece = take(rows, part)
        upto = int(piece["pos"][-1]) + position(1)
        log += [data for _, data in writer.emit(Kind.SCORED, piece, np.zeros(len(part), np.int32), upto)]
    return log


def label_rows(rows: Columns, every: int) -> Columns:
    """Return labels for every n-th of these rows, a day later."""
    some = take(rows, np.arange(0, length(rows), every))
    names = "raw_partition raw_offset appended_ms transaction_id customer_id terminal_id event_time"
    labels = {name: some[name] for name in names.split()}
    labels["positive"] = (some["amount_minor"] % 2).astype(np.uint8)
    labels["label"] = np.where(labels["positive"], b"fraud", b"legitimate")
    labels["label_time"] = some["event_time"] + 86_400_000
    labels["source"] = strings(["chargeback"] * length(some))
    labels["pos"] = np.array([position(offset) for offset in some["raw_offset"].tolist()], np.int64)
    return labels
