"""Is another run's lake whole, so that a new run can begin where it ends; and where is that?"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from contracts.errors import StateError
from contracts.pipeline import SourceStream
from features.seeded import Bounds
from inference.offline.backfill.frontier import facts_differing, frontier
from inference.offline.lake.lake import PARTITION, FixedLake, ends_of, whole_flushes
from inference.offline.lake.sql import quoted, register

_NEWEST = "SELECT {partition}, max({place}) + 1 FROM {rows} GROUP BY {partition}"


def bounds_of(lake: FixedLake, database: duckdb.DuckDBPyConnection) -> Bounds:
    """Return how far a lake counts, all of it: its run has stopped and nothing of it is under way.

    Raises:
        StateError: E_LAKE_EMPTY, no scored record is in it; E_SEED_UNDER_WAY, records have no row or answer
            yet; E_SEED_FACTS, its feature log says what no raw record says.
    """
    pipeline, whole = lake.project.pipeline, frontier(lake, database)
    if not whole.of(pipeline.scored):
        lake.read(pipeline.scored.topic, ["offset"])
    if whole.pending:
        raise StateError(
            "E_SEED_UNDER_WAY", f"{whole.pending:,} records have no answer yet",
            str(lake.folder), "stop that run's producers, let its archive read to the end, then run again",
        )  # fmt: skip
    unfounded = facts_differing(lake, database)
    if unfounded:
        raise StateError(
            "E_SEED_FACTS", f"{unfounded:,} rows of the feature log have no raw record that says the same",
            str(lake.folder), "let that run's archive read to the end; `headrace verify` there tells more",
        )  # fmt: skip
    return _bounds(lake, database, whole.before)


def _bounds(
    lake: FixedLake, database: duckdb.DuckDBPyConnection, raw_before: Mapping[str, Mapping[int, int]]
) -> Bounds:
    pipeline = lake.project.pipeline
    below: dict[str, dict[int, int]] = {link.name: {} for link in pipeline.chain.links}
    for source in pipeline.sources:
        for name, ends in _newest_by_entity(lake, database, source).items():
            for partition, end in ends.items():
                below[name][partition] = max(end, below[name].get(partition, 0))
    flushes = whole_flushes([file for name in lake.logs for file in lake.files(name)])
    return Bounds(
        raw_before={topic: dict(sorted(before.items())) for topic, before in raw_before.items()},
        log_before=ends_of(flushes),
        below={name: dict(sorted(ends.items())) for name, ends in below.items()},
    )


def _newest_by_entity(
    lake: FixedLake, database: duckdb.DuckDBPyConnection, source: SourceStream
) -> dict[str, dict[int, int]]:
    """Return, by entity and partition of its stage, the position behind the newest row of a source."""
    chain = lake.project.pipeline.chain
    # the log lies by the last stage's partitions
    places = {link.name: (link.partition, link.position) for link in chain.links}
    places[chain.last.name] = (PARTITION, chain.last.position)
    columns = dict.fromkeys((name for place in places.values() for name in place), pa.int64())
    columns.pop(PARTITION)  # comes with every dataset
    register(database, lake, lake.project.pipeline.log_dataset(source), "log", columns, may_lack=columns)
    return {name: _newest(database, *place) for name, place in places.items()}


def _newest(database: duckdb.DuckDBPyConnection, partition: str, place: str) -> dict[int, int]:
    found = database.execute(
        _NEWEST.format(partition=quoted(partition), place=quoted(place), rows=quoted("log"))
    ).fetchall()
    return {int(number): int(end) for number, end in found if number is not None}
