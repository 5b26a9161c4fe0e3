"""How the loops over state are compiled, and when compiled code on disk is still good.

Numba keeps compiled code by the age of the function's own file, though other files' functions are in it, and
would run what they were. Here it is kept by the content of that file and of all that are compiled together.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
COMPILED_TOGETHER = (
    "compiled", "key_table", "records", "tiles", "items", "packing", "kernel", "aggregations/base",
    "aggregations/distinct", "aggregations/std", "partition_clock", "idle",
)  # fmt: skip
PARTS_TOGETHER = (
    "aggregations/decayed_sum", "aggregations/first_seen", "aggregations/quantile", "aggregations/top_share",
    "blocks", "decayed_part", "packed_words", "part", "recent_part", "seen_part", "session_part",
    "sketch_part", "span_part", "summary",
)  # fmt: skip


def _content(names: tuple[str, ...]) -> bytes:
    return b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in names)


_SOURCES = _content(COMPILED_TOGETHER)
_WITH_PARTS = _SOURCES + _content(PARTS_TOGETHER)


def compiled(function: F) -> F:
    """Compile without reference counts: a call pays them for every array of its arguments, atomically.

    They were half the time of a fold. So no such function makes an array: scratch comes with the arguments.
    """
    options: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True, "_nrt": False}
    return _kept(njit(**options)(function), function, _SOURCES)


def compiled_part(*, nogil: bool = False, inline: Literal["never", "always"] = "never") -> Callable[[F], F]:
    """Return what compiles a loop of the parts beside the tiles; such a function may make arrays."""

    def compile_it(function: F) -> F:
        return _kept(njit(cache=True, nogil=nogil, inline=inline)(function), function, _WITH_PARTS)

    return compile_it


def _kept(made: Any, function: F, together: bytes) -> F:
    """Return compiled code that is kept by content."""
    own = Path(function.__code__.co_filename).read_bytes()
    made._cache._cache_file._source_stamp = hashlib.sha256(together + own).hexdigest()
    return cast(F, made)
