"""River's ADWIN without the rest of River's drift package.

`import river.drift` also imports its data sets, SQLAlchemy and the slower detectors: 2 s of CPU, which a
scorer that restarts under load would pay before its first decision. So the one module is loaded by its file.
"""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
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
