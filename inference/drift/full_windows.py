"""From when on a feature says what it is meant to: when the stream is as old as its window is long.

Until then its counts, extremes and gaps grow by themselves, and differ from any other time's. The age is of
event time, so a replay and a live start are alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.pipeline import SCORED
from features.catalog import ENTITIES, PIPELINE, SERVICE
from features.catalog import PROFILE as BATCH
from features.definition import DAY_MS, Feature, View

NEVER_MS = 2**62
LABELS_SETTLE_MS = 7 * DAY_MS  # the first labels of a stream are the quick ones; later ones join them
PROFILE_DAYS = 30  # how far back a snapshot of the batch view looks (its `looks_back`)
_LABELS = {source.number: source.time for source in PIPELINE.labels}


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


# The newest snapshot may be as old as may be served, and the oldest event in it thirty days older.
PROFILE = Reach(events_ms=PROFILE_DAYS * DAY_MS + BATCH.max_age_ms)


def began_with(began: Began, kind: int, rows: Columns) -> Began:
    """Return when a stream began, once its first rows are read; what is known stays.

    The middle of the first rows counts, as one of them may be dated wrongly.

    >>> began_with(Began(), 1, {PIPELINE.scored.time: np.array([5, 6, 900])})
    Began(events_ms=6, labels_ms=None)
    """
    if kind == SCORED and began.events_ms is None and length(rows):
        return began._replace(events_ms=int(np.median(rows[PIPELINE.scored.time])))
    if kind in _LABELS and began.labels_ms is None and length(rows):
        return began._replace(labels_ms=int(np.median(rows[_LABELS[kind]])))
    return began


def reach_of(column: str) -> Reach:
    """Return what a column needs; nothing for what is no feature of the service."""
    return REACHES.get(column, Reach(0))


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


def sources_of(column: str) -> frozenset[str]:
    """Return what a column is made of: `events`, `labels`, `profile`; nothing for what is no feature."""
    return _SOURCES.get(column, frozenset())


def _reach_ms(view: View, feature: Feature) -> int:
    """Return how old the stream must be: without a window of its own the longest of the view decides."""
    hop_ms = feature.window.hop_ms if feature.window is not None else 0
    return min(NEVER_MS, (feature.reach_ms or view.longest_ms) + hop_ms)


def _stored() -> dict[str, Reach]:
    found: dict[str, Reach] = {}
    for view in (view for entity in ENTITIES for view in entity.views):
        for feature in view.features:
            reach_ms = _reach_ms(view, feature)
            labels = min(NEVER_MS, reach_ms + LABELS_SETTLE_MS)
            reach = Reach(labels_ms=labels) if view.rows in _LABELS else Reach(events_ms=reach_ms)
            found |= dict.fromkeys(feature.columns, reach)
    return (
        found
        | dict.fromkeys(SERVICE.stored.get(BATCH.name, ()), PROFILE)
        | dict.fromkeys(SERVICE.event, Reach(0))
    )


def _longest(reaches: Sequence[Reach]) -> Reach:
    events = [reach.events_ms for reach in reaches if reach.events_ms is not None]
    labels = [reach.labels_ms for reach in reaches if reach.labels_ms is not None]
    return Reach(max(events, default=None), max(labels, default=None))


_STORED = _stored()
# What never is full, as a window of all time, holds up no other.
EVENTS_LONGEST = _longest(
    [
        _STORED[name]
        for entity in ENTITIES
        for name in SERVICE.stored.get(entity.name, ())
        if (_STORED[name].events_ms or 0) < NEVER_MS
    ]
)
REACHES = _STORED | {
    one.name: _longest([_STORED[column] for column in one.tree.inputs()]) for one in SERVICE.of_features
}


def _sources() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for column, reach in REACHES.items():
        names = {"events"} if reach.events_ms is not None else set()
        names |= {"labels"} if reach.labels_ms is not None else set()
        found[column] = frozenset(names)
    return found | dict.fromkeys(SERVICE.stored.get(BATCH.name, ()), frozenset({"profile"}))


_SOURCES = _sources()
