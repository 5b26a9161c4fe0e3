"""From when on a feature says what it is meant to: when the stream is as old as its window is long.

Until then its counts, extremes and gaps grow by themselves, and differ from any other time's. The age is of
event time, so a replay and a live start are alike.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.pipeline import SCORED
from features.definition import DAY_MS, Feature, View
from features.project.running import RunningProject

NEVER_MS = 2**62
LABELS_SETTLE_MS = 7 * DAY_MS  # the first labels of a stream are the quick ones; later ones join them
PROFILE_DAYS = 30  # how far back a snapshot of the batch view looks (its `looks_back`)


class Began(NamedTuple):
    """The event time of a stream's first events and of its first labels, epoch ms.

    None is not known, as before the first; 0 is of a stream that began long ago, as one with a seed.
    """

    events_ms: int | None = None
    labels_ms: int | None = None


UNKNOWN = Began()
LONG_AGO = Began(0, 0)


class Reach(NamedTuple):
    """How much event time of events and of labels a column needs; None needs none of them."""

    events_ms: int | None = None
    labels_ms: int | None = None


class Reaches:
    """How much event time each column of a project's model needs, and of what it is made.

    `of` has what each column needs, `events_longest` the longest of streamed features, `profile` that of the
    batch view: the newest snapshot may be as old as may be served, and the oldest event in it thirty days
    older.

    >>> from features.project.running import project_at
    >>> logins = Reaches(project_at("examples/logins"))
    >>> from_ms(logins.reach_of("account_logins_count_24h"), Began(events_ms=1000))
    93601000
    >>> sorted(logins.sources_of("ip_takeovers_count_7d")), sorted(logins.sources_of("score"))
    (['labels'], [])
    """

    def __init__(self, project: RunningProject) -> None:
        self._scored_ms = project.pipeline.scored.time
        self._labels_ms = {source.number: source.time for source in project.pipeline.labels}
        service, entities = project.service, project.entities
        profiled = service.stored.get(project.profile.name, ())
        self.profile = Reach(events_ms=PROFILE_DAYS * DAY_MS + project.profile.max_age_ms)
        stored = {
            column: self._reach(view, feature)
            for entity in entities
            for view in entity.views
            for feature in view.features
            for column in feature.columns
        }
        stored |= dict.fromkeys(profiled, self.profile) | dict.fromkeys(service.event, Reach(0))
        # What never is full, as a window of all time, holds up no other.
        self.events_longest = _longest(
            [
                stored[name]
                for entity in entities
                for name in service.stored.get(entity.name, ())
                if (stored[name].events_ms or 0) < NEVER_MS
            ]
        )
        self.of = stored | {
            one.name: _longest([stored[column] for column in one.tree.inputs()])
            for one in service.of_features
        }
        self._sources = {column: _sources(reach) for column, reach in self.of.items()}
        self._sources |= dict.fromkeys(profiled, frozenset({"profile"}))

    def began_with(self, began: Began, kind: int, rows: Columns) -> Began:
        """Return when a stream began, once its first rows are read; what is known stays.

        The middle of the first rows counts, as one of them may be dated wrongly.
        """
        if kind == SCORED and began.events_ms is None and length(rows):
            return began._replace(events_ms=int(np.median(rows[self._scored_ms])))
        if kind in self._labels_ms and began.labels_ms is None and length(rows):
            return began._replace(labels_ms=int(np.median(rows[self._labels_ms[kind]])))
        return began

    def reach_of(self, column: str) -> Reach:
        """Return what a column needs; nothing for what is no feature of the service."""
        return self.of.get(column, Reach(0))

    def sources_of(self, column: str) -> frozenset[str]:
        """Return what a column is made of: `events`, `labels`, `profile`; nothing for what is no feature."""
        return self._sources.get(column, frozenset())

    def _reach(self, view: View, feature: Feature) -> Reach:
        reach_ms = _reach_ms(view, feature)
        if view.rows in self._labels_ms:
            return Reach(labels_ms=min(NEVER_MS, reach_ms + LABELS_SETTLE_MS))
        return Reach(events_ms=reach_ms)


@cache
def reaches_of(project: RunningProject) -> Reaches:
    """Return the reaches of a project's columns; they are computed once."""
    return Reaches(project)


def from_ms(reach: Reach, began: Began) -> int:
    """Return from which event time on that is reached, epoch ms; `NEVER_MS` while it is not known.

    >>> day = Reach(events_ms=90_000_000)
    >>> from_ms(day, Began(events_ms=1000)), from_ms(day, LONG_AGO), from_ms(day, Began()) == NEVER_MS
    (90001000, 0, True)
    >>> from_ms(Reach(labels_ms=5), Began(1000, None)) == NEVER_MS
    True
    """
    moments = [
        NEVER_MS if since_ms is None or needed_ms >= NEVER_MS else since_ms and since_ms + needed_ms
        for since_ms, needed_ms in zip(began, reach, strict=True)
        if needed_ms is not None
    ]
    return max(moments)


def first_ms(times: NDArray[np.int64]) -> int | None:
    """Return when times begin, but for the one in a thousand that may be wrong by years; None of none.

    >>> first_ms(np.array([5, 7, 6])), first_ms(np.array([], np.int64))
    (5, None)
    """
    if not len(times):
        return None
    return int(np.partition(times, len(times) // 1000)[len(times) // 1000])


def _reach_ms(view: View, feature: Feature) -> int:
    """Return how old the stream must be: without a window of its own the longest of the view decides."""
    hop_ms = feature.window.hop_ms if feature.window is not None else 0
    return min(NEVER_MS, (feature.reach_ms or view.longest_ms) + hop_ms)


def _longest(reaches: Sequence[Reach]) -> Reach:
    events = [reach.events_ms for reach in reaches if reach.events_ms is not None]
    labels = [reach.labels_ms for reach in reaches if reach.labels_ms is not None]
    return Reach(max(events, default=None), max(labels, default=None))


def _sources(reach: Reach) -> frozenset[str]:
    events = {"events"} if reach.events_ms is not None else set()
    return frozenset(events | ({"labels"} if reach.labels_ms is not None else set()))
