"""Which feature values an event is judged by, and where each group of them came from.

The entities' values ride with the event, exact as of it, so the store is asked to confirm them:
a stored row of the event's own position is used (`store`) after its bits were compared; a row of another
position means that the store has moved on or lags, and the event's own values are used (`exact`). The
profile lives only in the store: it may be missing (`default`) or too old (`stale`).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.chain import Link
from contracts.frame import Columns, length
from contracts.keys import key_of
from features.definition import BatchView
from features.feast_row import RowsRead
from features.project.running import RunningProject
from inference.reading.breaker import Breaker
from inference.reading.online_reader import FeatureReader, StoreUnavailable
from inference.reading.profile_cache import ProfileCache

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]
Grouped = tuple[NDArray[np.bytes_], NDArray[np.intp]]  # keys, each once, and which each event has

log = structlog.get_logger(__name__)


class Status(IntEnum):
    """Where a group's values came from."""

    EXACT = 0
    STORE = 1
    DEFAULT = 2
    STALE = 3
    NO_KEY = 4


STATUS_NAMES = tuple(status.name.lower() for status in Status)


class StoreCounts(NamedTuple):
    """What one batch's read was worth, by event."""

    confirmed: int = 0
    moved_on: int = 0
    missing: int = 0
    mismatched: int = 0
    unread: int = 0


class Served(NamedTuple):
    """Values of n events and their origin; `profile_age_ms` is -1 << 63 where there is no profile.

    `groups` are the entities' features, (n, features) each, in the order of the chain; `statuses` (n,) say of
    each group where it came from.
    """

    groups: tuple[Floats, ...]
    profile: Floats
    statuses: tuple[Codes, ...]
    profile_status: Codes
    profile_age_ms: NDArray[np.int64]
    unreadable: NDArray[np.bool_]
    available: bool
    counts: dict[str, StoreCounts]

    @property
    def blind(self) -> NDArray[np.bool_]:
        """Of which events the values of an entity are not known."""
        return np.asarray(np.any([status == Status.DEFAULT for status in self.statuses], axis=0))


class ServesFeatures(Protocol):
    """What gives a batch its feature groups: the store and the events, or the store and pending events."""

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n events; `now_ms` is a time that never goes back."""


NO_AGE = np.iinfo(np.int64).min


class FeatureServer:
    """Serves the feature groups of a batch of FEATURE rows; keeps going when the store does not.

    Args:
        project: whose events they are.
        epoch: the run's; a stored row of another one was written for another log.
    """

    def __init__(
        self,
        project: RunningProject,
        reader: FeatureReader,
        breaker: Breaker,
        epoch: int,
        cache_rows: int = 100_000,
    ) -> None:
        self._reader, self._breaker, self._epoch = reader, breaker, epoch
        self._links, self._entities = project.pipeline.chain.links, project.entities
        self._time, self._profile = project.event.time, project.profile
        self._profiled = project.entities.index(project.profiled)
        self._last_known = ProfileCache(cache_rows, len(project.profile.columns))

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n events; `rows` as of Kind.SCORED, never changed."""
        found = [np.unique(key_of(rows, link.fields), return_inverse=True) for link in self._links]
        read = read_store(self._reader, self._breaker, [keys for keys, _ in found], now_ms)
        profiled, profile_of = found[self._profiled]
        if read is None:
            return self._alone(rows, found)
        confirmed = [
            self._confirm(link, rows, stored, (keys, of), len(entity.views))
            for link, entity, stored, (keys, of) in zip(self._links, self._entities, read, found, strict=True)
        ]
        profile, time_ms = self._profiles(profiled, read[self._profiled])
        failed = [stored.failed[of] for stored, (_, of) in zip(read, found, strict=True)]
        return Served(
            self._own_values(rows), profile[profile_of],
            tuple(status for status, _ in confirmed),
            *judged_profiles(self._profile, time_ms[profile_of], rows[self._time], known_only=False),
            np.any(failed, axis=0), True,
            {link.name: counts for link, (_, counts) in zip(self._links, confirmed, strict=True)},
        )  # fmt: skip

    def _alone(self, rows: Columns, found: Sequence[Grouped]) -> Served:
        """Serve without the store: the event's own values, and the last known profiles."""
        count, (profiled, profile_of) = length(rows), found[self._profiled]
        profile, time_ms = self._last_known.get(profiled)
        exact = np.full(count, Status.EXACT, np.uint8)
        return Served(
            self._own_values(rows), profile[profile_of],
            tuple(_keyless(exact, keys, of) for keys, of in found),
            *judged_profiles(self._profile, time_ms[profile_of], rows[self._time], known_only=True),
            np.zeros(count, bool), False,
            {link.name: StoreCounts(unread=count) for link in self._links},
        )  # fmt: skip

    def _confirm(
        self, link: Link, rows: Columns, stored: RowsRead, grouped: Grouped, views: int
    ) -> tuple[Codes, StoreCounts]:
        """Compare stored rows of the event's own position with the event's own values, bit for bit."""
        own, (keys, of) = rows[link.values], grouped
        same_epoch = (stored.epochs[of, :views] == self._epoch).all(axis=1)
        there = same_epoch & (stored.stamps[of, :views] == rows[link.position][:, None]).all(axis=1)
        at = np.flatnonzero(there)
        equal = _same_bits(stored.values[of[at], : own.shape[1]], own[at])
        differing = at[~equal]
        if len(differing):
            first = int(differing[0])
            log.error(
                "store_differs_from_log", group=link.name, rows=len(differing),
                position=int(rows[link.position][first]), next_step="run `headrace rebuild-store`",
            )  # fmt: skip
        missing = int((~stored.present[of, :views].all(axis=1)).sum())
        counts = StoreCounts(
            confirmed=int(equal.sum()), moved_on=len(of) - len(at) - missing, missing=missing,
            mismatched=len(differing),
        )  # fmt: skip
        status = np.full(len(of), Status.EXACT, np.uint8)
        status[at[equal]] = Status.STORE
        return _keyless(status, keys, of), counts

    def _profiles(self, keys: NDArray[np.bytes_], stored: RowsRead) -> tuple[Floats, NDArray[np.int64]]:
        """Return each key's profile and its time, -1 without one; remember those that are there."""
        beside = self._entities[self._profiled]
        profile = stored.values[:, len(beside.columns) :]
        time_ms = np.where(stored.failed, -1, stored.event_time_ms[:, len(beside.views)])
        profile = np.where(stored.failed[:, None], np.nan, profile)
        self._last_known.put(keys, profile, time_ms)
        return profile, time_ms

    def _own_values(self, rows: Columns) -> tuple[Floats, ...]:
        return tuple(rows[link.values] for link in self._links)


def read_store(
    reader: FeatureReader,
    breaker: Breaker,
    keys: Sequence[NDArray[np.bytes_]],
    now_ms: float,
) -> tuple[RowsRead, ...] | None:
    """Return the stored rows of each entity's keys, None while the store is away; said when that changes."""
    was_open = breaker.open
    if not breaker.allows(now_ms):
        return None
    try:
        read = reader.read(*keys)
    except StoreUnavailable as error:
        breaker.failed(now_ms)
        if not was_open:
            log.warning("store_unavailable", code=error.code, why=error.what)
        return None
    breaker.succeeded()
    if was_open:
        log.info("store_back")
    return read


def judged_profiles(
    view: BatchView, time_ms: NDArray[np.int64], event_ms: NDArray[np.int64], known_only: bool
) -> tuple[Codes, NDArray[np.int64]]:
    """Return the status of each profile of a batch view, and its age against the event."""
    there = time_ms >= 0
    age_ms = np.where(there, event_ms - time_ms, NO_AGE)
    stale = there & ((age_ms > view.max_age_ms) | known_only)
    status = np.where(stale, Status.STALE, np.where(there, Status.STORE, Status.DEFAULT))
    return status.astype(np.uint8), age_ms


def _keyless(status: Codes, keys: NDArray[np.bytes_], of: NDArray[np.intp]) -> Codes:
    """Return the codes with that of a missing key where the event has none; keys are sorted, each once."""
    if not len(keys) or keys[0]:
        return status
    return np.where(of == 0, Status.NO_KEY, status).astype(np.uint8)


def _same_bits(left: Floats, right: Floats) -> NDArray[np.bool_]:
    """Tell row by row whether both hold the same bits; any NaN equals any other."""
    same = np.ascontiguousarray(left).view(np.uint64) == np.ascontiguousarray(right).view(np.uint64)
    return np.asarray((same | (np.isnan(left) & np.isnan(right))).all(axis=1))
