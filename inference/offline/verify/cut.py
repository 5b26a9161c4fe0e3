"""Which logged rows can be judged: those with nothing missing before them in the lake.

The archive writes each topic at its own time, so while a run is live the newest rows stand in the lake
without some of what came before them. A recomputation of those would differ, and nothing would be wrong.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.pipeline import SCORED
from features.definition import Entity
from inference.offline.backfill.frontier import Frontier, ends_below, frontier, is_keyed
from inference.offline.fold.rows import origins
from inference.offline.lake.lake import Lake
from inference.offline.lake.sql import database

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
Logs = Mapping[int, pa.Table]
ALL = np.iinfo(np.int64).max


class EntityCut(NamedTuple):
    """Which scored rows of the log may be judged as an entity's (n,), and the limits that they come from.

    `before` has, by topic and partition of raw records, the first offset beyond them; `below` by partition of
    the entity's stage the first position; None where the other says it all.
    """

    judged: Mask
    before: Mapping[str, Mapping[int, int]] | None
    below: Mapping[int, int] | None


class Cut(NamedTuple):
    """What may be judged, by entity; `lost` archived records are known to have been lost on their way."""

    entities: Mapping[str, EntityCut]
    lost: int = 0

    @property
    def everywhere(self) -> Mask:
        """Which scored rows may be judged as every entity's, (n,)."""
        return np.asarray(np.logical_and.reduce([cut.judged for cut in self.entities.values()]))


def whole(lake: Lake, logs: Logs) -> Cut:
    """Return which rows may be judged.

    Where all rows of a key come out of one raw partition, they count up to the first record of it that is
    under way. Else an entity's rows count up to the first, in its partition's order, whose raw record is not
    in the lake yet, and not past where a row may be missing.

    Args:
        logs: by source, rows of the feature log with their places, raw and in each entity's order.
    """
    with database(lake.folder / ".spilled") as connection:
        reached = frontier(lake, connection)
        limits = {
            entity.name: ends_below(lake, connection, entity, reached) for entity in lake.project.entities
        }
    cuts = {
        entity.name: _cut(lake, logs, entity, reached, limits[entity.name])
        for entity in lake.project.entities
    }
    return Cut(cuts, reached.lost)


def _cut(
    lake: Lake, logs: Logs, entity: Entity, reached: Frontier, limits: Mapping[int, int] | None
) -> EntityCut:
    pipeline = lake.project.pipeline
    if is_keyed(pipeline, entity):
        return EntityCut(_there(logs[SCORED], reached.of(pipeline.scored)), reached.before, None)
    ends: dict[int, int] = {}
    for origin in origins(pipeline, entity):
        table = logs[origin.kind]
        partitions, places = (table[name].to_numpy() for name in (origin.partition, origin.pos))
        there = _there(table, reached.of(origin.source))
        for partition in np.unique(partitions).tolist():
            missing = places[(partitions == partition) & ~there]
            end = int(missing.min()) if len(missing) else ALL
            ends[partition] = min(ends.get(partition, ALL), end, (limits or {}).get(partition, ALL))
    scored = next((one for one in origins(pipeline, entity) if one.kind == SCORED), None)
    if scored is None:
        return EntityCut(np.ones(logs[SCORED].num_rows, np.bool_), None, ends)
    table = logs[SCORED]
    judged = table[scored.pos].to_numpy() < _limits(table[scored.partition].to_numpy(), ends, ALL)
    return EntityCut(np.asarray(judged), None, ends)


def _there(table: pa.Table, before: Mapping[int, int]) -> Mask:
    partitions, offsets = table["raw_partition"].to_numpy(), table["raw_offset"].to_numpy()
    return np.asarray(offsets < _limits(partitions, before, 0))


def _limits(partitions: NDArray[np.integer], limits: Mapping[int, int], default: int) -> Ints:
    found = np.full(len(partitions), default, np.int64)
    for partition, limit in limits.items():
        found[partitions == partition] = limit
    return found
