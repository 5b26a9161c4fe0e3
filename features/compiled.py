"""How the loops over state are compiled, and when compiled code on disk is still good."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
COMPILED_TOGETHER = (
    "compiled", "key_table", "records", "tiles", "items", "packing", "kernel", "aggregations/base",
    "aggregations/distinct", "aggregations/std",
)  # fmt: skip
_SOURCES = hashlib.sha256(
    b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in COMPILED_TOGETHER)
).hexdigest()


def compiled(function: F) -> F:
    """Compile without reference counts: a call pays them for every array of its arguments, atomically.

    They were half the time of a fold. So no such function makes an array: scratch comes with the arguments.
    Numba keeps compiled code by the age of the function's own file, though other files' functions are in it;
    here it is kept by the content of all files that are compiled together.
    """
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True, "_nrt": False}
    made = njit(**options)(function)
    made._cache._cache_file._source_stamp = _SOURCES
    return cast(F, made)
