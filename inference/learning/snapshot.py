"""A copy of what the learner has read, on disk, so that a start need not read the whole log again.

It is a cache: without one, or with one of another run, everything is read again. It names the offsets up to
which it has read, and is written whole or not at all.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contracts.errors import StateError
from contracts.frame import Columns
from contracts.lanes import Lanes
from inference.learning.core import LearnerCore
from inference.learning.rows import Series, SeriesNumbers, Words
from inference.learning.triggers import DriftAlert
from inference.models.manifest import NOT_JSON
from runtime.atomic_file import replacing

VERSION = 2
FILE = "snapshot.npz"
Offsets = dict[str, dict[int, int]]
_TABLES = ("predictions", "shadows", "events", "labels")


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
    """Write the snapshot.

    Raises:
        OSError: the disk does not take it; the one before stays.
    """
    meta = Meta(
        v=VERSION, epoch=epoch, offsets=offsets, lanes=dict(lanes), series=core.series.known,
        words={name: words.known for name, words in core.words.items()}, clock_ms=core.ledger.clock_ms,
        alerts=core.alerts,
    )  # fmt: skip
    arrays: dict[str, Any] = {"meta": np.frombuffer(msgspec.json.encode(meta), np.uint8)}
    for table in _TABLES:
        columns: Columns = getattr(core.ledger, table).columns()
        arrays |= {f"{table}.{name}": column for name, column in columns.items()}
    with replacing(folder / FILE) as sink:
        np.savez(sink, **arrays)


def load(folder: Path, core: LearnerCore, epoch: int, reported: Offsets) -> Meta | None:
    """Fill a fresh core from the snapshot and return its meta; None when there is none that may be used.

    Args:
        reported: offsets up to which the last report had read; a snapshot beyond them is of no use.

    Raises:
        StateError: E_LEARNER_SNAPSHOT, the file is damaged or cannot be read; the core is as it was.
    """
    path = folder / FILE
    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as arrays:
            meta = msgspec.json.decode(arrays["meta"].tobytes(), type=Meta)
            if meta.v != VERSION or meta.epoch != epoch or _beyond(meta.offsets, reported):
                return None
            columns = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, *NOT_JSON) as error:
        raise StateError(
            "E_LEARNER_SNAPSHOT", f"cannot be read: {error}", str(path), "nothing: the log is read instead"
        ) from error
    for table in _TABLES:
        head = f"{table}."
        rows = {name.removeprefix(head): column for name, column in columns.items() if name.startswith(head)}
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
