"""A watched mean: values brought to 0..1 with the hour of the week taken out, and its detectors."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.drift.alarms import Alarms, Key
from inference.drift.events import DriftEvent, Place, What, changed, cleared
from inference.drift.season import SLOTS, slots
from inference.drift.stream_detector import Change, StreamDetector

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RAW_MAX = 1e15  # sums of more lose cents; a hostile 1e308 would end them for good

Bring = Callable[[Floats, Ints], Floats]  # values and their slots of the week, to about 0..1


class Found(NamedTuple):
    """A change, and the detector that found it."""

    detector: str
    change: Change


class MeanWatch:
    """Detectors over one value; what is not finite is passed over and counted in `skipped`.

    A change of less than `least` is not told: so far two days of training may be apart.

    >>> watch = MeanWatch("error", ("adwin",), as_it_is)
    >>> _ = watch.feed(np.array([0.0] * 384 + [np.nan]), np.arange(385))
    >>> found = watch.feed(np.ones(300), np.arange(300))
    >>> found[0].detector, found[0].change.to_mean, watch.skipped
    ('adwin', 1.0, 1)
    """

    def __init__(self, feature: str, detectors: Sequence[str], bring: Bring, least: float = 0.0) -> None:
        self.feature, self.skipped = feature, 0
        self._bring, self._least = bring, least
        self._detectors = [StreamDetector(name) for name in detectors]

    def feed(self, values: Floats, event_ms: Ints, slot: Ints | None = None) -> list[Found]:
        """Return the changes that n more values, in log order, made sure; `slot` is theirs, where known."""
        slot = slots(event_ms) if slot is None else slot
        finite = np.isfinite(values)
        whole = bool(finite.all())
        if not whole:
            self.skipped += int((~finite).sum())
            values, event_ms, slot = values[finite], event_ms[finite], slot[finite]
        if not len(values):
            return []
        brought = self._bring(values, slot)
        raw = np.clip(values, -RAW_MAX, RAW_MAX)
        return [
            Found(detector.name, change)
            for detector in self._detectors
            for change in detector.feed(brought, event_ms, raw)
            if change.apart >= self._least
        ]


def as_it_is(values: Floats, slot: Ints) -> Floats:
    """Return values clipped to 0..1, for shares with no baseline."""
    return np.clip(values, 0.0, 1.0)


def less_usual(means: Sequence[float]) -> Bring:
    """Return what takes the usual mean of its slot of the week out of a share.

    >>> less_usual([0.1, 0.3, 0.1, 0.3])(np.array([0.1, 0.3]), np.array([0, 1])).round(3).tolist()
    [0.2, 0.2]
    """
    usual = np.array(means, np.float64)
    assert usual.shape == (SLOTS,), "one mean a slot"
    middle = float(usual.mean())
    return lambda values, slot: np.asarray(np.clip(values, 0.0, 1.0) - usual[slot] + middle)


def told(found: Sequence[Found], feature: str, what: What, place: Place, alarms: Alarms) -> list[DriftEvent]:
    """Return the records for changes: an alert, or cleared where the mean went back, or none so soon."""
    events = []
    for detector, change in found:
        key = Key(detector, feature)
        if alarms.is_back(key, change.from_mean, change.to_mean):
            alarms.clears(key)
            events.append(cleared(place, what, feature, detector, change.at_ms))
        elif alarms.rises(key, change.at_ms, change.from_mean):
            events.append(changed(place, what, feature, detector, change))
    return events
