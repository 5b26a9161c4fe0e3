"""Everything that is watched of one partition of features.log, chunk by chunk."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from inference.drift.alarms import Alarms, Key
from inference.drift.baseline import Baseline, measure
from inference.drift.events import DriftEvent, Place, What, cleared, differs, what_of
from inference.drift.mean_watch import MeanWatch, as_it_is, less_usual, told
from inference.drift.reference import Reference, against
from inference.drift.sample import Chunk, Sample
from inference.drift.season import CALENDAR, slots
from inference.drift.settings import DriftSettings, words
from inference.drift.window import ReferenceWindow

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SCORE, DECISION, REFUSED, NULL_SHARE = "score", "decision", "refused", "null_share"
_SHARES: tuple[tuple[str, What], ...] = ((NULL_SHARE, "missingness"), (REFUSED, "decision"))


class PartitionWatch:
    """Sample, detectors, windows and open alerts of one partition.

    Rows are (m, k + 2): the k features, then the score and the decision's number, NaN where there is none.
    Decisions have rules in them, which training does not know: their reference is always the first rows.
    """

    def __init__(
        self, columns: Sequence[str], settings: DriftSettings, place: Place, baseline: Baseline | None
    ) -> None:
        self._columns = (*columns, SCORE, DECISION)
        self._features = [i for i, name in enumerate(columns) if name not in CALENDAR]
        self._settings, self._place = settings, place
        self._alarms = Alarms(settings.cooldown_ms)
        self.sample = Sample(settings.sample_every, settings.chunk_rows)
        self.against = (
            f"the training baseline of {place.model}, {baseline.rows:,} rows"
            if baseline is not None
            else f"the first {settings.first_rows:,} sampled rows after the restart: no training baseline"
        )
        self._first: list[Chunk] | None = []
        self._windows: list[tuple[ReferenceWindow, list[int], str]] = []
        self._means: list[tuple[MeanWatch, What]] = []
        if baseline is not None:
            self._hold_against(baseline, self.against)
        self._watch_shares(baseline)

    def feed(self, chunk: Chunk) -> list[DriftEvent]:
        """Return what one more chunk made sure."""
        events: list[DriftEvent] = []
        slot = slots(chunk.event_ms)
        for watch, what in self._means:
            values = self._values(watch.feature, chunk)
            found = watch.feed(values, chunk.event_ms, slot)
            events += told(found, watch.feature, what, self._place, self._alarms)
        at_ms = int(chunk.event_ms[-1])
        for window, which, reference in self._windows:
            window.feed(chunk.matrix[:, which], chunk.event_ms, slot)
            if window.due:
                events += self._looked(window, reference, at_ms)
        if self._first is not None:
            self._gather(chunk)
        return events

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

    def _hold_against(self, baseline: Baseline, said: str) -> None:
        """Hold features and score against a baseline; what it does not know is not watched."""
        names = [self._columns[i] for i in self._features]
        names += [SCORE] if self._place.model else []
        reference = against(baseline, names)
        self._add_window(reference, said)
        numbers = words(self._settings.numbers)
        for feature in (*words(self._settings.watched), SCORE):
            if feature in reference.names:
                rank = partial(reference.ranks, reference.names.index(feature))
                self._means.append((MeanWatch(feature, numbers, rank), _input_or_score(feature)))

    def _add_window(self, reference: Reference, said: str) -> None:
        which = [self._columns.index(name) for name in reference.names]
        self._windows.append((ReferenceWindow(reference, self._settings), which, said))

    def _watch_shares(self, baseline: Baseline | None) -> None:
        usual = {} if baseline is None else baseline.shares
        for feature, what in _SHARES:
            bring = less_usual(usual[feature]) if feature in usual else as_it_is
            self._means.append((MeanWatch(feature, words(self._settings.shares), bring), what))

    def _gather(self, chunk: Chunk) -> None:
        """Keep the first rows until there are enough to be a reference."""
        assert self._first is not None
        self._first.append(chunk)
        if sum(len(part.matrix) for part in self._first) < self._settings.first_rows:
            return
        matrix = np.concatenate([part.matrix for part in self._first])
        event_ms = np.concatenate([part.event_ms for part in self._first])
        self._first = None
        said = f"the first {len(matrix):,} sampled rows after the restart"
        if not self._windows:  # no training baseline
            self._hold_against(measure(self._columns, matrix, event_ms), said)
        decisions = measure([DECISION], matrix[:, -1:], event_ms)
        self._add_window(against(decisions, [DECISION]), said)

    def _values(self, feature: str, chunk: Chunk) -> Floats:
        if feature == NULL_SHARE:
            null = ~np.isfinite(chunk.matrix[:, self._features])
            return np.asarray(null.mean(axis=1))
        if feature == REFUSED:
            decision = chunk.matrix[:, -1]
            return np.where(np.isnan(decision), np.nan, (decision > 0).astype(np.float64))
        return np.asarray(chunk.matrix[:, self._columns.index(feature)])


def _input_or_score(feature: str) -> What:
    return "score" if feature == SCORE else "input"
