"""The operator tools (command line, settings, servers, workers), and what a project's `features.py` imports.

`from headrace import Source, Entity, view, count, ...` finds the declarations when they are asked for:
importing `headrace` itself loads none of them.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

_HOME = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, _HOME)  # for the next line alone: a folder called runtime/ may stand in front of ours
importlib.import_module("runtime.launch").install()
sys.path.remove(_HOME)

if TYPE_CHECKING:
    from features.declare import (
        Decision,
        Entity,
        Model,
        Project,
        Source,
        batch_view,
        count,
        decayed_sum,
        distinct,
        first_of,
        first_seen,
        last_of,
        last_values,
        max_of,
        mean_of,
        min_of,
        positives,
        quantile_of,
        same_as_last,
        share,
        since_first,
        since_last,
        std_of,
        sum_of,
        top_share,
        view,
    )
    from features.definition import Feature, Window
    from features.expressions import coalesce, col, hour, log1p, maximum, minimum, ratio, weekday

__all__ = [
    "Decision", "Entity", "Feature", "Model", "Project", "Source", "Window", "batch_view", "coalesce", "col",
    "count", "decayed_sum", "distinct", "first_of", "first_seen", "hour", "last_of", "last_values", "log1p",
    "max_of", "maximum", "mean_of", "min_of", "minimum", "positives", "quantile_of", "ratio", "same_as_last",
    "share", "since_first", "since_last", "std_of", "sum_of", "top_share", "view", "weekday",
]  # fmt: skip

_ROOMS = ("features.declare", "features.expressions", "features.definition")


def __getattr__(name: str) -> Any:
    """Return a declaration by its name."""
    if name in __all__:
        for room in _ROOMS:
            module = importlib.import_module(room)
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")
