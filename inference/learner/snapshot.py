"""A copy of what the learner has read, on disk, so that a start need not read the whole log again.

It is a cache: without one, or with one of another run, everything is read again. It names the offsets up to
which it has read, and is written whole or not at all.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contracts.frame import Columns
from contracts.lanes import Lanes
from inference.learner.core import LearnerCore
from inference.learner.rows import Series, SeriesNumbers, Words
from inference.learner.triggers import DriftAlert

VERSION = 1
FILE = "snapshot.npz"
Offsets = dict[str, dict[int, int]]
_TABLES = ("predictions", "shadows", "payments", "labels")


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the columns: `offsets` are the next ones to read, by topic and partition."""

    v: int
    epoch: int
    offsets: Offsets
    lanes: dict[int, Lanes]
    series: list[Series]
    words: dict[str, list[str]]
    clock_ms: int
    alerts: list[DriftAlert]


def save(folder: Path, core: LearnerCore, epoch: int, offsets: Offsets, lanes: Mapping[int, Lanes]) -> None:
    """Write the snapshot."""
    meta = Meta(
        v=VERSION, epoch=epoch, offsets=offsets, lanes=dict(lanes), series=core.series.known,
        words={name: words.known for name, words in core.words.items()}, clock_ms=core.ledger.clock_ms,
        alerts=core.alerts,
    )  # fmt: skip
    arrays: dict[str, Any] = {"meta": np.frombuffer(msgspec.json.encode(meta), np.uint8)}
    for table in _TABLES:
        columns: Columns = getattr(core.ledger, table).columns()
        arrays |= {f"{table}.{name}": column for name, column in columns.items()}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{FILE}.part"
    with part.open("wb") as sink:
        np.savez(sink, **arrays)
        sink.flush()
        os.fsync(sink.fileno())
    part.replace(folder / FILE)


def load(folder: Path, core: LearnerCore, epoch: int, reported: Offsets) -> Meta | None:
    """Fill a fresh core from the snapshot and return its meta; None when there is none that may be used.

    Args:
        reported: offsets up to which the last report had read; a snapshot beyond them is of no use.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        meta = msgspec.json.decode(arrays["meta"].tobytes(), type=Meta)
        if meta.v != VERSION or meta.epoch != epoch or _beyond(meta.offsets, reported):
            return None
        for table in _TABLES:
            head = f"{table}."
            rows = {name.removeprefix(head): arrays[name] for name in arrays.files if name.startswith(head)}
            getattr(core.ledger, table).add(rows)
    core.series = SeriesNumbers(meta.series)
    core.words = {name: Words(words) for name, words in meta.words.items()}
    core.ledger.advance(meta.clock_ms)
    core.alerts = meta.alerts
    return meta


def _beyond(offsets: Offsets, reported: Offsets) -> bool:
    return any(
        offset > reported.get(topic, {}).get(partition, 0)
        for topic, partitions in offsets.items()
        for partition, offset in partitions.items()
    )
