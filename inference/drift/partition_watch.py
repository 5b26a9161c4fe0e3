"""Everything that is watched of one partition of features.log, chunk by chunk."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from inference.drift.alarms import Alarms, Key
from inference.drift.baseline import Baseline, measure
from inference.drift.events import DriftEvent, Place, What, cleared, differs, what_of
from inference.drift.first_rows import FirstRows
from inference.drift.full_windows import (
    LONG_AGO,
    Began,
    Reach,
    Reaches,
    from_ms,
)
from inference.drift.incidents import Incidents
from inference.drift.mean_watch import MeanWatch, as_it_is, less_usual, told
from inference.drift.reference import Reference, against
from inference.drift.sample import Chunk, Sample
from inference.drift.season import CALENDAR, slots
from inference.drift.settings import DriftSettings, words
from inference.drift.spread import with_spread
from inference.drift.statistics import distance
from inference.drift.window import ReferenceWindow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SCORE, DECISION, REFUSED, NULL_SHARE = "score", "decision", "refused", "null_share"
_SHARES: tuple[tuple[str, What], ...] = ((NULL_SHARE, "missingness"), (REFUSED, "decision"))


def reach_of(feature: str, reaches: Reaches) -> Reach:
    """Return how much event time is needed before something is said of a feature, or of what follows.

    A score and a decision follow from all features, and so do not settle before the longest window is full.
    """
    if feature in (SCORE, DECISION, REFUSED):
        return reaches.events_longest
    return reaches.profile if feature == NULL_SHARE else reaches.reach_of(feature)


def null_share_of(columns: Sequence[str], reaches: Reaches) -> list[int]:
    """Return where the columns stand whose null values are counted together in `null_share`.

    Those of labels are not: they come and go with the labels, and are watched each by itself.
    """
    return [
        i
        for i, name in enumerate(columns)
        if name not in CALENDAR and "labels" not in reaches.sources_of(name)
    ]


class PartitionWatch:
    """Sample, detectors, windows, open alerts and incidents of one partition.

    Rows are (m, k + 2): the k features, then the score and the decision's number, NaN where there is none.
    Decisions have rules in them, which training does not know: their reference is always the first rows, as
    is that of columns that the model's baseline does not have. Without a model nothing is watched.

    Args:
        reaches: how much event time each column needs.
        began: when the stream began; of a column whose windows are not full by then nothing is said.
    """

    def __init__(
        self, columns: Sequence[str], settings: DriftSettings, reaches: Reaches, place: Place,
        baseline: Baseline | None, began: Began = LONG_AGO,
    ) -> None:  # fmt: skip
        self._columns = (*columns, SCORE, DECISION)
        self._counted_nulls = null_share_of(columns, reaches)
        self._reaches = reaches
        self._settings, self._place, self._began = settings, place, began
        self._alarms = Alarms(settings.cooldown_ms)
        self._incidents = Incidents(place, settings.incident_ms, reaches.sources_of)
        self.sample = Sample(settings.sample_every, settings.chunk_rows)
        self.against = _said(place, settings, baseline)
        self._first: list[FirstRows] = []
        self._windows: list[tuple[ReferenceWindow, list[int], str]] = []
        self._means: list[tuple[MeanWatch, What]] = []
        if place.model:
            names = [name for name in self._columns if name not in (*CALENDAR, DECISION)]
            known = set[str]() if baseline is None else {column.name for column in baseline.columns}
            if baseline is not None:
                self._hold_against(against(baseline, [n for n in names if n in known]), self.against)
            self._gather([*(name for name in names if name not in known), DECISION])
            self._watch_shares(baseline)

    def began_at(self, began: Began) -> None:
        """Take note of when the stream began, where it was not known before."""
        if began != self._began:
            self._began = began
            for window, _, _ in self._windows:
                window.full_from_ms = self._full_from(window.reference.names)

    def feed(self, chunk: Chunk) -> list[DriftEvent]:
        """Return what one more chunk made sure."""
        events: list[DriftEvent] = []
        slot = slots(chunk.event_ms)
        at_ms, middle_ms = int(chunk.event_ms[-1]), int(chunk.event_ms[len(chunk.event_ms) // 2])
        for watch, what in self._means:
            if from_ms(self._reach(watch.feature), self._began) > middle_ms:
                continue
            values = self._values(watch.feature, chunk)
            found = watch.feed(values, chunk.event_ms, slot)
            events += told(found, watch.feature, what, self._place, self._alarms)
        for window, which, reference in self._windows:
            window.feed(chunk.matrix[:, which], chunk.event_ms, slot)
            if window.due:
                events += self._looked(window, reference, at_ms)
        if self._first:
            self._take_first(chunk)
        return self._incidents.grouped(events, at_ms)

    def take_skipped(self) -> dict[str, int]:
        """Return how many sampled values were not finite and so not fed, by feature, since last asked."""
        skipped = {watch.feature: watch.skipped for watch, _ in self._means if watch.skipped}
        for watch, _ in self._means:
            watch.skipped = 0
        return skipped

    def _looked(self, window: ReferenceWindow, reference: str, at_ms: int) -> list[DriftEvent]:
        events: list[DriftEvent] = []
        for finding in window.look(self._alarms.open):
            key, what = Key(finding.detector, finding.feature), what_of(finding)
            if finding.over:
                if self._alarms.rises(key, at_ms):
                    since_ms = self._alarms.since(key, partial(window.since, finding))
                    events.append(differs(self._place, what, finding, since_ms, reference, at_ms))
            elif self._alarms.clears(key):
                events.append(cleared(self._place, what, finding.feature, finding.detector, at_ms))
        return events

    def _hold_against(self, reference: Reference, said: str) -> None:
        """Hold columns against a reference from now on; means of those that are to be watched too."""
        window = ReferenceWindow(reference, self._settings, self._full_from(reference.names))
        which = [self._columns.index(name) for name in reference.names]
        self._windows.append((window, which, said))
        numbers = words(self._settings.numbers)
        for feature in (*words(self._settings.watched), SCORE):
            if feature in reference.names:
                column = reference.names.index(feature)
                rank, least = partial(reference.ranks, column), self._least(reference.mean_spread[column])
                self._means.append((MeanWatch(feature, numbers, rank, least), _input_or_score(feature)))

    def _watch_shares(self, baseline: Baseline | None) -> None:
        usual = {} if baseline is None else baseline.shares
        for feature, what in _SHARES:
            bring = less_usual(usual[feature]) if feature in usual else as_it_is
            least = self._least(0.0 if baseline is None else baseline.share_spreads.get(feature, 0.0))
            self._means.append((MeanWatch(feature, words(self._settings.shares), bring, least), what))

    def _least(self, spread: float) -> float:
        """Return how far two periods' means are apart, at most, if days differ as they did in training."""
        return distance(self._settings.chance_max, 2 * spread)

    def _gather(self, names: Sequence[str]) -> None:
        """Gather a reference for these columns, those together that begin together."""
        alike: dict[Reach, list[int]] = {}
        for name in names:
            alike.setdefault(self._reach(name), []).append(self._columns.index(name))
        self._first = [FirstRows(which, reach, self._settings) for reach, which in alike.items()]

    def _take_first(self, chunk: Chunk) -> None:
        """Hand a chunk to what is gathered, and hold columns against it once it is enough."""
        for first in list(self._first):
            found = first.take(chunk, from_ms(first.reach, self._began))
            if found is not None:
                self._first.remove(first)
                names = [self._columns[i] for i in first.columns]
                usual = with_spread(measure(names, found.matrix, found.event_ms), names, found)
                said = f"the first {len(found.event_ms):,} sampled rows since the start or full windows"
                self._hold_against(Reference(usual.columns), said)

    def _reach(self, name: str) -> Reach:
        return reach_of(name, self._reaches)

    def _full_from(self, names: Sequence[str]) -> Ints:
        return np.array([from_ms(self._reach(name), self._began) for name in names], np.int64)

    def _values(self, feature: str, chunk: Chunk) -> Floats:
        if feature == NULL_SHARE:
            null = ~np.isfinite(chunk.matrix[:, self._counted_nulls])
            return np.asarray(null.mean(axis=1))
        if feature == REFUSED:
            decision = chunk.matrix[:, -1]
            return np.where(np.isnan(decision), np.nan, (decision > 0).astype(np.float64))
        return np.asarray(chunk.matrix[:, self._columns.index(feature)])


def _said(place: Place, settings: DriftSettings, baseline: Baseline | None) -> str:
    """Return against what a partition is held, as the record of a start says it."""
    if not place.model:
        return "nothing: there is no model yet, and so no baseline"
    if baseline is None:
        return f"the first {settings.first_rows:,} sampled rows or more: {place.model} has no baseline"
    return f"the training baseline of {place.model}, {baseline.rows:,} rows"


def _input_or_score(feature: str) -> What:
    return "score" if feature == SCORE else "input"
