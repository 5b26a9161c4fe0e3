"""The lakes of runs that follow each other, cut out of what one run that never ended made of all rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, length, take
from inference.offline.lake.lake import Lake
from load.this_project import PROJECT
from tests import lake_maker as maker

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BEGIN_MS = 1_700_000_000_000 // DAY_MS * DAY_MS


def sparse_events(seed: int, count: int = 4_000, days: int = 100) -> tuple[Columns, Columns, Columns]:
    """Return payments, their labels, and by payment when it came (`appended_ms`).

    Half of the keys are so rare that they are forgotten in between; one payment in twenty is up to two days
    late, one in a hundred later than every window.
    """
    chance = np.random.default_rng(seed)
    came_ms = np.sort(chance.integers(BEGIN_MS, BEGIN_MS + days * DAY_MS, count))
    late = chance.random(count)
    behind_ms = np.where(late < 0.05, chance.integers(0, 2 * DAY_MS, count), 0)
    behind_ms += np.where(late > 0.99, 36 * DAY_MS, 0)
    payments: Columns = {
        "transaction_id": np.array([f"t{i}" for i in range(count)], np.bytes_),
        "customer_id": _keys(chance, count, "c"), "terminal_id": _keys(chance, count, "m"),
        "event_time": came_ms - behind_ms,
        "amount_minor": chance.lognormal(8.5, 0.7, count).astype(np.int64),
    }  # fmt: skip
    names = ("transaction_id", "customer_id", "terminal_id", "event_time")
    labels: Columns = {name: payments[name] for name in names}
    labels["label"] = (chance.random(count) < 0.2).astype(np.uint8)
    labels["label_time"] = came_ms + 3 * DAY_MS + chance.integers(0, 3 * DAY_MS, count)
    labels = take(labels, np.argsort(labels["label_time"], kind="stable"))
    known = labels["label_time"] <= came_ms[-1]
    return payments, take(labels, known), {"appended_ms": came_ms}


def _keys(chance: np.random.Generator, count: int, letter: str) -> NDArray[np.bytes_]:
    usual = chance.random(count) < 0.93
    numbers = np.where(usual, chance.integers(0, 40, count), chance.integers(100, 220, count))
    return np.array([f"{letter}{number}" for number in numbers.tolist()], np.bytes_)


def cut_lakes(
    folders: Sequence[Path], payments: Columns, labels: Columns, came: Columns, cuts_ms: Sequence[int]
) -> list[Lake]:
    """Write a lake for each span between the cuts, whose values are those of one uninterrupted run.

    Args:
        folders: one more than there are cuts; cuts_ms: multiples of a quarter of an hour.
    """
    paid = maker._placed(payments, "customer_id", came["appended_ms"])
    judged = maker._placed(labels, "transaction_id", labels["label_time"])
    rows, known = maker._terminal_stage(maker._customer_stage(paid), judged)
    edges = [0, *cuts_ms, np.iinfo(np.int64).max]
    for folder, begin_ms, end_ms in zip(folders, edges, edges[1:], strict=False):
        raw, raw_labels, features, label_log = (
            take(part, (part["appended_ms"] >= begin_ms) & (part["appended_ms"] < end_ms))
            for part in (paid, judged, rows, known)
        )
        _write(folder, raw, raw_labels, features, label_log)
    return [Lake(folder, PROJECT) for folder in folders]


def _write(lake: Path, raw: Columns, raw_labels: Columns, features: Columns, label_log: Columns) -> None:
    """Write one lake, with places counted from 0."""
    raw, first = _from_zero(raw)
    raw_labels, first_label = _from_zero(raw_labels)
    maker._write_raw(lake, raw, raw_labels)
    features["raw_offset"] -= first[features["raw_partition"]]
    label_log["raw_offset"] -= first_label[label_log["raw_partition"]]
    features["customer_pos"] = features["raw_offset"] << 20
    ends = np.full(maker.PARTITIONS, np.iinfo(np.int64).max)
    for part in (features, label_log):
        np.minimum.at(ends, part["terminal_partition"], part["offset"])
    for part in (features, label_log):
        part["offset"] -= ends[part["terminal_partition"]]
        part["terminal_pos"] = part["offset"] << 20
    maker._write_log(lake, features, Kind.SCORED, "features")
    if length(label_log):
        maker._write_log(lake, label_log, Kind.LABEL, "label_log")


def _from_zero(rows: Columns) -> tuple[Columns, NDArray[np.int64]]:
    first = np.full(maker.PARTITIONS, np.iinfo(np.int64).max)
    np.minimum.at(first, rows["raw_partition"], rows["raw_offset"])
    return {**rows, "raw_offset": rows["raw_offset"] - first[rows["raw_partition"]]}, first
