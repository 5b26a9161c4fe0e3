"""Run one measured part in a process of its own, so that its CPU and memory are its alone."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def apart(part: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a module-level function returns when a fresh process runs it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(part, *args, **kwargs).result()
