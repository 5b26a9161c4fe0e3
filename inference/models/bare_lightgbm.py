"""LightGBM without pandas, which it imports for data frames that nobody here gives it.

That is a quarter of what a scorer has to do before its first decision, and events wait for it when one is
started again under load. LightGBM goes on without packages that it cannot import; others may import pandas
afterwards as ever. Import LightGBM from here wherever a service or a trial starts.
"""

import sys

_absent = "pandas" not in sys.modules
if _absent:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # the import system's word for "not to be had"
try:
    import lightgbm
finally:
    if _absent:
        del sys.modules["pandas"]

__all__ = ["lightgbm"]
