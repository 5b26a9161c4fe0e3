"""Where tasks run: in this process, in processes of this machine, or on a Dask cluster.

Tasks are values and their functions importable, so a cluster needs this code, and the lake on one path.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Protocol, TypeVar

from contracts.errors import ClusterError, ConfigError

Task = TypeVar("Task")
Done = TypeVar("Done")
DASK_LOCAL = "local"


class Executor(Protocol):
    """Runs tasks and hands over what they return, in any order."""

    def map(self, function: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
        """Yield each task's result as it comes; the first failure ends it."""


class Processes:
    """Processes of this machine, started once and ended with it; one worker runs in this process."""

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPoolExecutor(workers, get_context("spawn")) if workers > 1 else None

    def map(self, function: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
        """Yield each task's result as it comes."""
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting = [self._pool.submit(function, task) for task in tasks]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()


class DaskProcesses:
    """Dask's own scheduler over processes of this machine; needs nothing that Feast does not bring."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def map(self, function: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
        """Yield all results once the last is there."""
        from dask.base import compute
        from dask.delayed import delayed

        waiting = [delayed(function, pure=False)(task) for task in tasks]
        yield from compute(*waiting, scheduler="processes", num_workers=self._workers)  # type: ignore[no-untyped-call]


class DaskCluster:
    """A Dask cluster on any number of machines, which share the lake's folder.

    Raises:
        ConfigError: E_DASK_DISTRIBUTED, Dask's package for clusters is not installed.
        ClusterError: E_DASK_CLUSTER, no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise ConfigError(
                "E_DASK_DISTRIBUTED", "Dask's package for clusters is not installed here", address,
                "install `distributed` here and on the workers, or leave --dask away",
            ) from error  # fmt: skip
        try:
            self._client = distributed.Client(address, timeout=10)
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                "E_DASK_CLUSTER", str(error), address, "start one with `dask scheduler`"
            ) from error
        self._as_completed = distributed.as_completed

    def map(self, function: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[Done]:
        """Yield each task's result as it comes."""
        waiting = self._client.map(function, tasks, pure=False)
        for future in self._as_completed(waiting):
            yield future.result()


def executor(workers: int, dask: str) -> Executor:
    """Return where tasks run.

    Args:
        dask: address of a Dask scheduler, "local" for Dask on this machine, or nothing for processes.

    Raises:
        ConfigError, ClusterError: as `DaskCluster`.
    """
    if not dask:
        return Processes(workers)
    return DaskProcesses(workers) if dask == DASK_LOCAL else DaskCluster(dask)
