"""What a lake is known to lack: records that were lost on their way, or whose raw bytes were never archived.

A reader passes over deleted records only where somebody has accepted the loss, and says of each lane what the
hole held (`runtime.input_record`). Those are positions of an earlier topic. A record's path keeps its order
in every topic, so what an earlier place was can be told from the rows of the log before and behind it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import duckdb
import pyarrow as pa

from contracts.chain import Chain
from contracts.pipeline import Pipeline, SourceStream
from inference.offline.lake.lake import Lake
from runtime.input_record import Hole, InputRecord, LostLane

OFFSET_SHIFT = 20  # a lane's position is the offset of its source, then the row in it
_SCHEMA = pa.schema({"partition": pa.int32(), "frm": pa.int64(), "upto": pa.int64()})
# By raw partition, the rows of the log that are nearest to a hole in an earlier topic, on both sides.
_AROUND = """
SELECT raw_partition, max(raw_offset) FILTER (WHERE {pos} < $frm), min(raw_offset) FILTER (WHERE {pos} >= $to)
FROM log WHERE {partition} = $number GROUP BY raw_partition
"""


class KnownLosses(NamedTuple):
    """Ranges of raw records as (partition, from, to).

    Attributes:
        on_the_way: records in them that have no row in the log were lost behind the raw topic.
        unarchived: raw records in them were deleted before the archive had read them.
    """

    on_the_way: list[tuple[int, int, int]]
    unarchived: list[tuple[int, int, int]]


def accepted(lake: Lake) -> list[Hole]:
    """Return the holes in the run's input that somebody has accepted.

    Raises:
        StateError: E_HOLES_FILE.
    """
    return InputRecord(lake.folder).accepted()


def words(lake: Lake) -> list[str]:
    """Return what is known to be missing, for people; nothing for a lake that is whole."""
    return [f"{hole.words}; accepted by {hole.who}: {hole.why}" for hole in accepted(lake)]


def places_of(pipeline: Pipeline) -> dict[str, pa.DataType]:
    """Return the columns of the log that say where a row stood in each stage's input."""
    names = ((link.partition, link.position) for link in pipeline.chain.links)
    return {name: kind for both in names for name, kind in zip(both, (pa.int32(), pa.int64()), strict=True)}


def known_losses(lake: Lake, database: duckdb.DuckDBPyConnection, source: SourceStream) -> KnownLosses:
    """Return what is known to be missing of a source's records.

    Args:
        database: has the source's rows of the lake's log as `log`, with the columns of `places_of`.
    """
    holes = [hole for hole in accepted(lake) if hole.topic == source.topic]
    ranges = {
        reader: [(hole.partition, hole.frm, hole.to) for hole in holes if hole.reader == reader]
        for reader in ("gate", "archive")
    }
    lanes = InputRecord(lake.folder).lost_lanes()
    chain = lake.project.pipeline.chain
    behind = [each for lane in lanes for each in _raw_ranges(lane, database, source, chain)]
    return KnownLosses(ranges["gate"] + behind, ranges["archive"])


def register_losses(
    database: duckdb.DuckDBPyConnection, name: str, ranges: list[tuple[int, int, int]]
) -> None:
    """Make a table of ranges, with the columns `partition`, `frm` and `upto`."""
    columns = [pa.array([each[at] for each in ranges], kind) for at, kind in enumerate(_SCHEMA.types)]
    database.register(name, pa.table(columns, schema=_SCHEMA))


def _raw_ranges(
    lane: LostLane, database: duckdb.DuckDBPyConnection, source: SourceStream, chain: Chain
) -> Iterator[tuple[int, int, int]]:
    topic, _, number = lane.src.rpartition("/")
    places = {link.input: (link.partition, link.position) for link in chain.links}
    if topic == source.topic:
        yield int(number), lane.frm >> OFFSET_SHIFT, lane.to >> OFFSET_SHIFT
    elif topic in places:
        partition, pos = places[topic]
        query = _AROUND.format(partition=partition, pos=pos)
        asked = {"number": int(number), "frm": lane.frm, "to": lane.to}
        for raw, before, behind in database.execute(query, asked).fetchall():
            if behind is not None:  # else what is missing may still be under way
                yield int(raw), 0 if before is None else int(before) + 1, int(behind)
