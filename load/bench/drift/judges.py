"""What is judged: the service's own watches, each alone, beside one that always fires and one that never.

Nothing here detects: a judge only counts what `inference.drift` finds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.drift.baseline import measure
from inference.drift.mean_watch import Bring, MeanWatch, as_it_is, less_usual
from inference.drift.reference import Reference
from inference.drift.season import slots
from inference.drift.settings import HOUR_MS, DriftSettings
from inference.drift.window import ReferenceWindow
from load.bench.drift.scenes import Kind, Stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
COLUMN = "value"


class Judge(Protocol):
    """Something that may raise alarms."""

    def feed(self, values: Floats, event_ms: Ints) -> int:
        """Return how many alarms a chunk of sampled rows raised."""


class Contestant(NamedTuple):
    """A judge by name, and the kinds of stream that it can judge."""

    name: str
    kinds: Sequence[Kind]
    make: Callable[[Stream, Kind], Judge]


class Dummy:
    """Fires at each chunk, or never."""

    def __init__(self, alarms: int) -> None:
        self._alarms = alarms

    def feed(self, values: Floats, event_ms: Ints) -> int:
        """Return always the same."""
        return self._alarms


class MeanJudge:
    """One of River's detectors, as the service feeds it."""

    def __init__(self, stream: Stream, kind: Kind, detector: str, *, season: bool) -> None:
        self._nulls = kind == "missing"
        self._watch = MeanWatch(COLUMN, (detector,), _bring(stream, kind, season=season))

    def feed(self, values: Floats, event_ms: Ints) -> int:
        """Return how many changes were found."""
        watched = np.isnan(values).astype(np.float64) if self._nulls else values
        return len(self._watch.feed(watched, event_ms))


class WindowJudge:
    """A window against the training part, as the service holds it; an alarm is a rise over the limit."""

    def __init__(self, stream: Stream, settings: DriftSettings, *, season: bool) -> None:
        reference = _reference(stream, season=season)
        self._window = ReferenceWindow(reference, settings)
        self._open: set[tuple[str, str]] = set()

    def feed(self, values: Floats, event_ms: Ints) -> int:
        """Return how many statistics rose over their limit."""
        self._window.feed(values[:, None], event_ms)
        if not self._window.due:
            return 0
        alarms = 0
        for finding in self._window.look(self._open):
            key = (finding.detector, finding.feature)
            if finding.over:
                alarms += key not in self._open
                self._open.add(key)
            else:
                self._open.discard(key)
        return alarms


def _reference(stream: Stream, *, season: bool) -> Reference:
    """Return the training part's reference; with times dealt out anew no slot differs from another."""
    times = stream.training_ms if season else np.random.default_rng(1).permutation(stream.training_ms)
    return Reference(measure([COLUMN], stream.training[:, None], times).columns)


def _bring(stream: Stream, kind: Kind, *, season: bool) -> Bring:
    if kind == "number":
        reference = _reference(stream, season=season)
        return lambda values, slot: reference.ranks(0, values, slot)
    if not season:
        return as_it_is
    bits = np.isnan(stream.training) if kind == "missing" else stream.training
    slot = slots(stream.training_ms)
    return less_usual([float(bits[slot == one].mean()) for one in range(4)])


def _mean(detector: str, kinds: Sequence[Kind], season: bool = True) -> Contestant:
    name = detector if season else f"{detector}, season left in"
    return Contestant(name, kinds, lambda s, k: MeanJudge(s, k, detector, season=season))


def _window(name: str, season: bool = True, **settings: object) -> Contestant:
    chosen = msgspec.structs.replace(DriftSettings(), **settings)
    return Contestant(name, ALL, lambda s, k: WindowJudge(s, chosen, season=season))


ALL: tuple[Kind, ...] = ("number", "missing", "share")
BITS: tuple[Kind, ...] = ("missing", "share")
CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("always fires", ALL, lambda stream, kind: Dummy(1)),
    Contestant("never fires", ALL, lambda stream, kind: Dummy(0)),
    _mean("adwin", ALL),
    _mean("adwin", ALL, season=False),
    _mean("page_hinkley", ALL),
    _mean("kswin", ("number",)),
    _mean("ddm", BITS, season=False),
    _mean("eddm", BITS, season=False),
    _mean("hddm_a", BITS, season=False),
    _mean("hddm_w", BITS, season=False),
    _window("psi 24 h", statistics="psi"),
    _window("psi 24 h, season left in", season=False, statistics="psi"),
    _window("psi 24 h, from 0.2", statistics="psi", effect_min=0.2),
    _window("psi 24 h, from 0.1", statistics="psi", effect_min=0.1),
    _window("psi 6 h", statistics="psi", window_ms=6 * HOUR_MS, pane_ms=HOUR_MS // 2),
    _window("psi 7 d", statistics="psi", window_ms=7 * 24 * HOUR_MS, pane_ms=12 * HOUR_MS),
    _window("ks 24 h", statistics="ks"),
    _window("chi2 24 h", statistics="chi2"),
    _window("kl 24 h", statistics="kl"),
    _window("js 24 h", statistics="js"),
)
