"""River's detectors, one file of River each, fed many values at a time; the only place where River is met.

`import river.drift` also imports its data sets and SQLAlchemy: 2 s of CPU, which a scorer that restarts
under load would pay before its first decision. So each detector is loaded by its file, when it is asked for.

A value that is NaN or infinite blinds ADWIN and Page-Hinkley for good: callers feed finite values only.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import islice
from math import log, sqrt
from operator import indexOf
from pathlib import Path
from typing import Any, NamedTuple

CLOCK_ROWS = 32  # how often ADWIN looks for a cut
DELTA = 0.002  # ADWIN's confidence, its own default


@cache
def _module(path: str) -> Any:
    """Return one file of River's drift package as a module of its own.

    Raises:
        ImportError: River is not installed, or has no such file.
    """
    package = find_spec("river")
    if package is None or package.origin is None:
        raise ImportError("river is not installed")
    file = Path(package.origin).parent / "drift" / f"{path}.py"
    spec = spec_from_file_location("river_" + path.replace("/", "_"), file)
    if spec is None or spec.loader is None or not file.exists():
        raise ImportError(f"river has no drift/{path}.py; see inference/drift/river_detectors.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ADWIN = _module("adwin").ADWIN


def feed_until_change(adwin: Any, values: Sequence[float], begin: int) -> int | None:
    """Feed `values[begin:]` up to the first at which the mean is found changed; return where that was.

    The same as River's `update` on each and a look at `drift_detected` behind it, but for the five Python
    calls a value: its detector's compiled inside tells by its own answer whether it found a change.

    >>> detector = ADWIN(clock=8)
    >>> at = feed_until_change(detector, [0.0] * 200 + [1.0] * 200, 0)
    >>> at is not None and at > 200
    True
    """
    if begin == len(values):
        return None
    adwin.update(values[begin])  # begins a new window when the last value had ended one
    if adwin.drift_detected:
        return begin
    try:
        at = begin + 1 + indexOf(map(adwin._helper.update, islice(values, begin + 1, None)), True)
    except ValueError:  # no True among the answers
        return None
    adwin._drift_detected = True
    return at


def feed_one_by_one(detector: Any, values: Sequence[float], begin: int) -> int | None:
    """Feed as `feed_until_change` does, by River's own `update`."""
    update = detector.update
    for at in range(begin, len(values)):
        update(values[at])
        if detector.drift_detected:
            return at
    return None


def feed_bits(detector: Any, values: Sequence[float], begin: int) -> int | None:
    """Feed a binary detector: a probability counts as 1 from one half on."""
    update = detector.update
    for at in range(begin, len(values)):
        update(1 if values[at] >= 0.5 else 0)
        if detector.drift_detected:
            return at
    return None


class Detector(NamedTuple):
    """How a detector is made and fed, and what it held against what when it last found a change."""

    make: Callable[[], Any]
    feed: Callable[[Any, Sequence[float], int], int | None]
    reading: Callable[[Any], tuple[float, float]] | None


def _page_hinkley(found: Any) -> tuple[float, float]:
    up, down = found._sum_increase - found._min_increase, found._max_decrease - found._sum_decrease
    return float(max(up, down)), float(found.threshold)


def _ddm(found: Any) -> tuple[float, float]:
    p = found._p.get()
    return p + sqrt(p * (1 - p) / found._p.n), found._p_min + found.drift_threshold * found._s_min


def _eddm(found: Any) -> tuple[float, float]:
    apart = found._error_distances
    return (apart.mean.get() + 2 * sqrt(apart.get())) / found._p2s_prime_max, float(found.beta)


def _hddm_a(found: Any) -> tuple[float, float]:
    both = []
    for side in (found._x_min, found._x_max):
        m = (found._z.n - side.n) / side.n / found._z.n
        both.append((abs(found._z.get() - side.get()), sqrt(m / 2 * log(2 / found.drift_confidence))))
    return max(both, key=lambda pair: pair[0] - pair[1])


def _hddm_w(found: Any) -> tuple[float, float]:
    both = []
    for old, new in ((found._s1_incr, found._s2_incr), (found._s2_decr, found._s1_decr)):
        if old.is_init and new.is_init:
            bound = found._mcdiarmid_bound(old.ibc + new.ibc, found.drift_confidence)
            both.append((new.ewma - old.ewma, bound))
    return max(both, key=lambda pair: pair[0] - pair[1])


# Values lie about 0..1 (a rank or a share), so Page-Hinkley's own threshold of 50 would take thousands of
# values; KSWIN costs a fifth of a millisecond a value and so sees one in sixteen.
DETECTORS: dict[str, Detector] = {
    "adwin": Detector(lambda: ADWIN(delta=DELTA, clock=CLOCK_ROWS), feed_until_change, None),
    "page_hinkley": Detector(
        lambda: _module("page_hinkley").PageHinkley(min_instances=100, delta=0.05, threshold=20.0),
        feed_one_by_one, _page_hinkley,
    ),
    "kswin": Detector(
        lambda: _module("kswin").KSWIN(alpha=1e-5, window_size=300, stat_size=100, seed=1),
        feed_one_by_one, lambda found: (float(found.p_value), float(found.alpha)),
    ),
    "ddm": Detector(lambda: _module("binary/ddm").DDM(warm_start=500, drift_threshold=4.0), feed_bits, _ddm),
    "eddm": Detector(lambda: _module("binary/eddm").EDDM(alpha=0.8, beta=0.75), feed_bits, _eddm),
    "hddm_a": Detector(
        lambda: _module("binary/hddm_a").HDDMA(two_sided_test=True), feed_bits, _hddm_a
    ),
    "hddm_w": Detector(
        lambda: _module("binary/hddm_w").HDDMW(two_sided_test=True), feed_bits, _hddm_w
    ),
}  # fmt: skip
THINNED = {"kswin": 16}  # of the sampled values it is fed one in so many
