"""LightGBM without pandas, which it imports for data frames that nobody here gives it.

That is a quarter of what a scorer has to do before its first decision, and payments wait for it when one is
started again under load. LightGBM goes on without packages that it cannot import; others may import pandas
afterwards as ever. Import LightGBM from here wherever a service or a trial starts.
"""

import sys

_LEFT_OUT = [name for name in ("pandas",) if name not in sys.modules]
for _name in _LEFT_OUT:
    sys.modules[_name] = None  # type: ignore[assignment]  # the import system's own word for "not to be had"
try:
    import lightgbm
finally:
    for _name in _LEFT_OUT:
        del sys.modules[_name]

__all__ = ["lightgbm"]
