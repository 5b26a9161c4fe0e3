"""The records of late of a run, out of its lake, as its first stage remembered them.

A record is remembered from its arrival on (`streams.stage.deduplication`), which the partition's clock
decides, for as long as the contract of its source says.
That clock is moved by first rows alone, and these stand in the feature log, in their order; so the lake says
of every record what the clock showed when it came.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from contracts.content_hash import content_hash, hashed_fields
from contracts.frame import Columns, length, take
from contracts.keys import hash64, key_of
from contracts.pipeline import SOURCES_MAX, Pipeline, SourceStream
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
    sources = _deduplicated(lake.project.pipeline)
    fields = tuple(
        dict.fromkeys(name for source in sources for name in (*hashed_fields(source), source.time))
    )
    for partition in range(partitions):
        ids = RememberedIds(lake.project.pipeline)
        if seed is not None:
            mine = before.filter(pa.array(before["partition"].to_numpy() == partition))
            ids.begin(mine.select(REMEMBERED.names), seed.clocks.get(partition, b""))
        asked = Selection(
            entity=lake.project.entities[0], partition=partition, also=tuple(dict.fromkeys(fields)),
            sources=tuple(source.number for source in sources),
        )  # fmt: skip
        for rows in ordered(lake, asked, spill, memory_mb) if sources else ():
            ids.take([(source.number, _logged(rows.columns, source)) for source in sources])
        yield partition, ids.kept()


class RememberedIds:
    """What a partition of the first stage remembers, from the rows that it took for the first of their ids.

    >>> from features.project.running import project_at
    >>> RememberedIds(project_at("examples/logins").pipeline).kept().ids.num_rows
    0
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._key = pipeline.chain.first.fields
        self._sources = {source.number: source for source in _deduplicated(pipeline)}
        self._clock, self._ids = PartitionClock(), REMEMBERED.empty_table()
        self._horizon_ms = np.zeros(SOURCES_MAX + 1, np.int64)
        for number, source in self._sources.items():
            self._horizon_ms[number] = source.deduplicate_ms

    def begin(self, ids: pa.Table, clock: bytes) -> None:
        """Begin with what another run remembered, and its clock; b"" for none."""
        self._ids = ids
        if clock:
            self._clock.load(clock)

    def take(self, parts: Sequence[tuple[int, Columns]]) -> None:
        """Take in the partition's next rows.

        Args:
            parts: of each source, by its number, rows with `pos` and `content_hash`; the order over all is
                that of `pos`. Sources of which nothing is remembered are passed over.
        """
        mine = [(self._sources[number], rows) for number, rows in parts if number in self._sources]
        mine = [(source, rows) for source, rows in mine if length(rows)]
        if not mine:
            return
        order = np.argsort(np.concatenate([rows["pos"] for _, rows in mine]), kind="stable")
        keys = np.concatenate([key_of(rows, self._key) for _, rows in mine])[order]
        times_ms = np.concatenate([rows[source.time] for source, rows in mine])[order]
        columns = [
            pa.array(keys).cast(pa.string()),
            pa.array(np.concatenate([key_of(rows, source.ids) for source, rows in mine])[order]).cast(
                pa.string()
            ),
            pa.array(np.concatenate([rows["content_hash"] for _, rows in mine])[order]),
            pa.array(np.maximum(self._clock.advance(hash64(keys), times_ms), times_ms)),
            pa.array(
                np.repeat([source.number for source, _ in mine], [length(rows) for _, rows in mine])[order],
                pa.uint8(),
            ),
        ]
        self._ids = pa.concat_tables([self._ids, self._young(pa.table(columns, schema=REMEMBERED))])

    def kept(self) -> Remembered:
        """Return what is remembered now."""
        return Remembered(self._young(self._ids), self._clock.pack())

    def _young(self, ids: pa.Table) -> pa.Table:
        """Return the ids that are still remembered."""
        until_ms = ids["arrival_ms"].to_numpy() + self._horizon_ms[ids["source"].to_numpy()]
        return ids.filter(pa.array(until_ms >= self._clock.now_ms))


def _deduplicated(pipeline: Pipeline) -> list[SourceStream]:
    """Return the sources whose ids are remembered."""
    return [source for source in pipeline.sources if source.ids and not source.is_labels]


def _logged(rows: Columns, source: SourceStream) -> Columns:
    """Return a source's rows out of those of several that were read from the log."""
    mine = rows["kind"] == source.number
    fields = hashed_fields(source)
    content = content_hash({name: rows[name][mine] for name in fields}, fields)
    return {**take(rows, mine), "content_hash": content}
