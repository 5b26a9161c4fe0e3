"""River's ADWIN without the rest of River's drift package, fed many values at a time.

`import river.drift` also imports its data sets, SQLAlchemy and the slower detectors: 2 s of CPU, which a
scorer that restarts under load would pay before its first decision. So the one module is loaded by its file.
"""

from collections.abc import Sequence
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from itertools import islice
from operator import indexOf
from pathlib import Path
from typing import Any


def _adwin() -> Any:
    package = find_spec("river")
    if package is None or package.origin is None:
        raise ImportError("river is not installed")
    spec = spec_from_file_location("river_adwin", Path(package.origin).parent / "drift" / "adwin.py")
    if spec is None or spec.loader is None:
        raise ImportError("river has no drift/adwin.py; see inference/adwin.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ADWIN


ADWIN = _adwin()


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
