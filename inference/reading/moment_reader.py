"""Features as of a moment, or with an event that is not in the log yet: finalised from tiles in Redis.

A stored row is as of its key's last event and stands still while windows shrink. Beside it lie the key's
tiles, its packed state, from which the stream's own kernel computes what holds at any later moment. Nothing
is written.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.frame import Columns, Kind
from features.definition import Entity
from features.feast_row import RowsRead
from features.finalise import Finalised, Finaliser
from features.project.running import RunningProject
from inference.reading.breaker import Breaker
from inference.reading.online_reader import FeatureReader
from inference.reading.served import read_store

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Keys = NDArray[np.bytes_]

log = structlog.get_logger(__name__)


class Held(NamedTuple):
    """What the store holds of n keys of one entity.

    `newest_ms` is the event time that the row is as of, -1 for a key without a past. A key is `uncertain`
    when its row is there and its tiles are not, when either cannot be read, or when it is not there while
    the stages are filling the store: all its values are null then.
    """

    keys: Keys
    packed: list[bytes]
    newest_ms: Ints
    uncertain: Flags


class Profiles(NamedTuple):
    """The profiles of n keys: values (n, k), and as of when, -1 where there is none."""

    values: Floats
    time_ms: Ints


class Stored(NamedTuple):
    """One read of the store: by entity of the chain, each in the order of its keys that were asked for."""

    held: dict[str, Held]
    profile: Profiles


class AsOf(NamedTuple):
    """Values of n keys as of moments; `valid_until_ms` is when they may be others, largest int64 for never.

    The time since the last event grows with every millisecond and is not what ends that validity.
    """

    values: Floats
    uncertain: Flags
    newest_ms: Ints
    valid_until_ms: Ints


class MomentReader:
    """Reads rows with tiles and finalises them; not safe for use by two threads.

    Args:
        project: whose rows they are.
        reader: one that reads tiles too.
        whole: tells whether the store has all rows; asked only when a key is not there.
        epoch: the run's; a row of another one was written for another log.
        refill: asks the stage of an entity to write the rows of these keys again.
    """

    def __init__(
        self,
        project: RunningProject,
        reader: FeatureReader,
        breaker: Breaker,
        whole: Callable[[], bool],
        epoch: int,
        refill: Callable[[str, Keys], None] = lambda _entity, _keys: None,
    ) -> None:
        self._reader, self._breaker, self._whole, self._epoch = reader, breaker, whole, epoch
        self._project, self._refill = project, refill
        self._finalisers = {entity.name: Finaliser(entity) for entity in project.entities}

    @property
    def available(self) -> bool:
        """Whether the store answered when it was last asked."""
        return not self._breaker.open

    def read(self, keys: Sequence[Keys], elapsed_ms: float) -> Stored | None:
        """Return what the store holds of keys, which may repeat; None when it is away.

        Args:
            keys: of each entity of the chain, (n,) each; their numbers may differ.
            elapsed_ms: a time that never goes back, by which an absent store is tried again.
        """
        found = [np.unique(some, return_inverse=True) for some in keys]
        read = read_store(self._reader, self._breaker, [once for once, _ in found], elapsed_ms)
        if read is None:
            return None
        held = {
            entity.name: self._held(entity, rows, some, of)
            for entity, rows, some, (_, of) in zip(self._project.entities, read, keys, found, strict=True)
        }
        profiled = self._project.entities.index(self._project.profiled)
        return Stored(held, self._profiles(read[profiled], found[profiled][1]))

    def at(self, entity: Entity, held: Held, now_ms: Ints) -> AsOf:
        """Return the values of n keys as of the moments (n,), every event so far counted.

        Windows end at the moment, or at the key's newest event when that is later.
        """
        finalised, until_ms = self._finalisers[entity.name].at_until(held.packed, now_ms)
        values, uncertain = self._certain(entity, finalised, held)
        return AsOf(values, uncertain, held.newest_ms, until_ms)

    def with_pending(self, entity: Entity, held: Held, rows: Columns) -> tuple[Floats, Flags]:
        """Return (n, k) what the stream would answer for each of n events if it came next, each alone.

        The second is (n,), the keys of which that cannot be told; their values are null.
        """
        finalised = self._finalisers[entity.name].with_pending(held.packed, rows, Kind.SCORED)
        return self._certain(entity, finalised, held)

    def _held(self, entity: Entity, stored: RowsRead, keys: Keys, of: NDArray[np.intp]) -> Held:
        views = len(entity.views)
        mine = stored.present & (stored.epochs == self._epoch)
        there = mine[:, :views].all(axis=1)
        has_tiles = np.array([bool(state) for state in stored.packed], np.bool_)
        whole = there & has_tiles & mine[:, -1] & (stored.stamps[:, -1] == stored.stamps[:, 0])
        uncertain = stored.failed | (there & ~whole)
        absent = ~there & ~uncertain
        if absent.any() and not self._whole():
            uncertain |= absent
        usable = whole & ~uncertain
        newest_ms = np.where(usable, stored.event_time_ms[:, 0], -1)
        packed = [stored.packed[at] if usable[at] else b"" for at in of.tolist()]
        return Held(keys, packed, newest_ms[of], uncertain[of])

    def _certain(self, entity: Entity, finalised: Finalised, held: Held) -> tuple[Floats, Flags]:
        """Null what cannot be told; rows whose bytes were damaged are asked for again."""
        if finalised.damaged.any():
            damaged = np.unique(held.keys[finalised.damaged])
            log.error(
                "tiles_damaged", code="E_STATE_CHECKSUM", entity=entity.name, keys=len(damaged),
                next_step="the stage writes them again; if it comes again, look at Redis and its disk",
            )  # fmt: skip
            self._refill(entity.name, damaged)
        elif finalised.unreadable.any():
            log.error(
                "tiles_not_readable", entity=entity.name, rows=int(finalised.unreadable.sum()),
                next_step="run `headrace rebuild-store` once the stages run this code",
            )  # fmt: skip
        uncertain = held.uncertain | finalised.unreadable
        return np.where(uncertain[:, None], np.nan, finalised.values), uncertain

    def _profiles(self, stored: RowsRead, of: NDArray[np.intp]) -> Profiles:
        beside = self._project.profiled
        at, views = len(beside.columns), len(beside.views)
        values = stored.values[:, at : at + len(self._project.profile.columns)]
        values = np.where(stored.failed[:, None], np.nan, values)
        return Profiles(values[of], np.where(stored.failed, -1, stored.event_time_ms[:, views])[of])
