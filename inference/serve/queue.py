"""Requests that wait for the thread that computes: bounded, merged into batches, answered in order.

Merging is what keeps the door quick under load: a batch costs a store round trip and a few kernel calls
whatever it holds. What is beyond the bound is refused at once, since an answer that comes too late is none.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

from inference.serve.request import ServeError

T = TypeVar("T")
Answer = dict[str, Any]

log = structlog.get_logger(__name__)


class _Waiting(NamedTuple):
    items: list[Any]
    rows: int
    future: "asyncio.Future[list[Answer]]"


class AnswerQueue(Generic[T]):
    """One kind of request. `ask` and `run` belong to one event loop.

    Args:
        answer: turns items into their answers, in the executor's thread.
        executor: has one thread; queues that share state share it.
        rows_max: of all that wait.
        rows_a_batch: no more are merged; a request of more goes alone.
        told: called with the number of rows of each batch before it is answered.
        broken: called with an exception that nobody expected, after who asked was told of it.
    """

    def __init__(
        self,
        answer: Callable[[list[T]], list[Answer]],
        executor: Executor,
        rows_max: int,
        rows_a_batch: int,
        told: Callable[[int], None] = lambda _: None,
        broken: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._broken = broken
        self._answer, self._executor, self._told = answer, executor, told
        self._rows_max, self._rows_a_batch = rows_max, rows_a_batch
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._came = asyncio.Event()

    @property
    def rows(self) -> int:
        """How many rows wait or are being computed."""
        return self._rows

    async def ask(self, items: list[T], rows: int) -> list[Answer]:
        """Return the answers to items of `rows` rows together.

        Raises:
            ServeError: 503 E_SERVE_BUSY, too many wait.
        """
        if self._rows + rows > self._rows_max and self._rows:
            raise busy(f"{self._rows} rows wait, {self._rows_max} may")
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(items, rows, future))
        self._rows += rows
        self._came.set()
        return await future

    async def run(self) -> None:
        """Answer what waits, until cancelled."""
        while True:
            await self._came.wait()
            batch = self._take()
            if not batch:
                self._came.clear()
                continue
            try:
                await self._settle(batch)
            finally:
                self._rows -= sum(one.rows for one in batch)

    def _take(self) -> list[_Waiting]:
        """Take what waits, up to a batch; who has hung up is left out."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0].rows <= self._rows_a_batch):
            one = self._waiting.popleft()
            if one.future.done():
                self._rows -= one.rows
                continue
            batch.append(one)
            rows += one.rows
        return batch

    async def _settle(self, batch: list[_Waiting]) -> None:
        """Answer a batch; one that fails is tried again request by request, so that it fails alone."""
        try:
            answers = await self._compute([item for one in batch for item in one.items], batch)
        except Exception as error:
            if len(batch) > 1:
                for one in batch:  # also those that can be answered, before the process ends
                    await self._settle([one])
                self._broken(error)
                return
            log.exception("answer_failed")
            _fail(batch[0], error)
            self._broken(error)
            return
        rest = iter(answers)
        for one in batch:
            mine = [next(rest) for _ in range(one.rows)]
            if not one.future.done():
                one.future.set_result(mine)

    async def _compute(self, items: list[T], batch: list[_Waiting]) -> list[Answer]:
        rows = sum(one.rows for one in batch)
        self._told(rows)
        answers = await asyncio.get_running_loop().run_in_executor(self._executor, self._answer, items)
        if len(answers) != rows:
            raise AssertionError(f"{len(answers)} answers for {rows} rows")
        return answers


def busy(what: str) -> ServeError:
    """Return the refusal of a request that comes while too many are there."""
    return ServeError(503, "E_SERVE_BUSY", what, "", "ask again after the time that Retry-After says")


def _fail(one: _Waiting, error: Exception) -> None:
    if one.future.done():
        return
    what = f"no answer could be made: {type(error).__name__}"
    one.future.set_exception(
        ServeError(500, "E_SERVE_INTERNAL", what, "", "report it with the log of `headrace serve`")
    )
