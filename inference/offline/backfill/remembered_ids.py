"""The records of late of a run, out of its lake, as its first stage remembered them.

A record is remembered from its arrival on (`streams.stage.deduplication`), which the partition's clock
decides, for as long as the contract of its source says.
That clock is moved by first rows alone, and these stand in the feature log, in their order; so the lake says
of every record what the clock showed when it came.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.content_hash import content_hash, hashed_fields
from contracts.frame import Columns, length
from contracts.keys import hash64, key_of
from contracts.pipeline import SOURCES_MAX, SourceStream
from features.partition_clock import PartitionClock
from inference.offline.fold.ordered import Selection, ordered
from inference.offline.lake.beginning import REMEMBERED, remembered
from inference.offline.lake.lake import Lake
from inference.offline.lake.seed_note import finished_seed
from inference.offline.lake.sql import MEMORY_MB


class Remembered(NamedTuple):
    """One partition's records (columns: `inference.offline.lake.beginning`), and its clock, packed."""

    ids: pa.Table
    clock: bytes


def remembered_ids(
    lake: Lake, spill: Path, partitions: int, memory_mb: int = MEMORY_MB
) -> Iterator[tuple[int, Remembered]]:
    """Yield what each partition of the first stage remembers at the end of a lake, in log order.

    Args:
        lake: of a run of which nothing is under way.
        spill: a folder that takes what memory does not hold.
        partitions: of the run's stages.
    """
    before, seed = remembered(lake), finished_seed(lake.folder)
    sources = [source for source in lake.project.pipeline.sources if source.ids and not source.is_labels]
    horizon_ms = np.zeros(SOURCES_MAX + 1, np.int64)
    horizon_ms[[source.number for source in sources]] = [source.deduplicate_ms for source in sources]
    fields = tuple(
        dict.fromkeys(name for source in sources for name in (*hashed_fields(source), source.time))
    )
    for partition in range(partitions):
        clock = PartitionClock()
        if seed is not None and partition in seed.clocks:
            clock.load(seed.clocks[partition])
        mine = before.filter(pa.array(before["partition"].to_numpy() == partition)).select(REMEMBERED.names)
        asked = Selection(
            entity=lake.project.entities[0], partition=partition, also=tuple(dict.fromkeys(fields)),
            sources=tuple(source.number for source in sources),
        )  # fmt: skip
        read = ordered(lake, asked, spill, memory_mb) if sources else ()
        key = lake.project.entities[0].join_key
        arrived = (_arrived(rows.columns, key, sources, clock) for rows in read)
        ids = pa.concat_tables([mine, *(_young(each, horizon_ms, clock.now_ms) for each in arrived)])
        yield partition, Remembered(_young(ids, horizon_ms, clock.now_ms), clock.pack())


def _arrived(rows: Columns, key: str, sources: list[SourceStream], clock: PartitionClock) -> pa.Table:
    """Return some rows, in log order, as they arrived by the clock, which they move."""
    content, times_ms = np.zeros(length(rows), np.uint64), np.zeros(length(rows), np.int64)
    ids: NDArray[np.bytes_] = np.zeros(length(rows), "S1")
    for source in sources:
        mine = rows["kind"] == source.number
        content[mine] = _content(rows, mine, source)
        times_ms[mine] = rows[source.time][mine]
        ids = np.where(mine, key_of(rows, source.ids), ids)
    arrival_ms = np.maximum(clock.advance(hash64(rows[key]), times_ms), times_ms)
    names = [pa.array(column).cast(pa.string()) for column in (rows[key], ids)]
    numbers = pa.array(rows["kind"].astype(np.uint8))
    return pa.table([*names, pa.array(content), pa.array(arrival_ms), numbers], schema=REMEMBERED)


def _content(rows: Columns, mine: NDArray[np.bool_], source: SourceStream) -> NDArray[np.uint64]:
    fields = hashed_fields(source)
    return content_hash({name: rows[name][mine] for name in fields}, fields)


def _young(ids: pa.Table, horizon_ms: NDArray[np.int64], now_ms: int) -> pa.Table:
    """Return the ids that are still remembered at a moment of the clock; `horizon_ms` is by source."""
    until_ms = ids["arrival_ms"].to_numpy() + horizon_ms[ids["source"].to_numpy()]
    return ids.filter(pa.array(until_ms >= now_ms))
