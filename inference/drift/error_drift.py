"""Drift of the error: fed by whoever joins labels to predictions, told in the same records as all drift."""

from collections.abc import Sequence

import numpy as np

from inference.drift.alarms import Alarms
from inference.drift.events import DriftEvent, Place, restarted
from inference.drift.incidents import Incidents
from inference.drift.mean_watch import MeanWatch, as_it_is, told
from inference.drift.sample import Floats, Ints
from inference.drift.settings import DriftSettings, words

FEATURE = "error"


class ErrorDrift:
    """Watches one stream of errors in the order in which labels became known; every one is fed.

    An error is 0 or 1 (a decision that the label proves wrong), or a number in between (how far the score
    was off; detectors of bits take one half and more as 1). Use one object a model and partition. The event
    time is the label's: the drift is of what was known then. Pure: no clock, no store.

    Args:
        name: what the records call the error, when there is more than one kind of it.

    >>> drift = ErrorDrift(DriftSettings(), model="risk/1")
    >>> quiet = [event for at in range(2000) for event in drift.feed(at, 0)]
    >>> events = [event for at in range(2000, 2400) for event in drift.feed(at, 1)]
    >>> quiet, [event.kind for event in events[:2]]
    ([], ['incident', 'alert'])
    >>> alert = events[1]
    >>> alert.what, alert.from_mean, 1900 < alert.since < 2040, alert.incident == events[0].incident
    ('error', 0.0, True, True)
    """

    def __init__(
        self, settings: DriftSettings, model: str = "", partition: int = 0, name: str = FEATURE
    ) -> None:
        self._settings, self._name = settings, name
        self._place = Place(partition, model)
        self._skipped = 0
        self._begin()

    @property
    def skipped(self) -> int:
        """Return how many errors were not finite and not fed."""
        return self._skipped + self._watch.skipped

    def feed(self, event_ms: int, error: float) -> list[DriftEvent]:
        """Return what one more error made sure."""
        return self.feed_many(np.array([event_ms]), np.array([error], np.float64))

    def feed_many(self, event_ms: Ints | Sequence[int], errors: Floats) -> list[DriftEvent]:
        """Return what n more errors, in order, made sure."""
        times = np.asarray(event_ms, np.int64)
        found = self._watch.feed(np.asarray(errors, np.float64), times)
        events = told(found, self._name, "error", self._place, self._alarms)
        return self._incidents.grouped(events, int(times[-1])) if len(times) else []

    def restart(self, why: str, model: str | None = None) -> DriftEvent:
        """Begin anew, after a take-over or with another model, and return the record that says so."""
        self._skipped = self.skipped
        if model is not None:
            self._place = self._place._replace(model=model)
        self._begin()
        return restarted(self._place, why, "the errors from now on")

    def _begin(self) -> None:
        self._watch = MeanWatch(self._name, words(self._settings.shares), as_it_is)
        self._alarms = Alarms(self._settings.cooldown_ms)
        self._incidents = Incidents(self._place, self._settings.incident_ms)
