"""The door's queue: merged, bounded, and a request that fails does so alone."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference.serve.queue import Answer, AnswerQueue
from inference.serve.request import ServeError

ROWS_MAX, ROWS_A_BATCH = 8, 4


class Room:
    """A queue whose computing thread waits until a test lets it go on."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self.go_on = threading.Event()
        self.batches: list[list[int]] = []
        self.broken: list[str] = []
        self.fail_once = False
        self.queue = AnswerQueue[int](
            self.answer, thread, ROWS_MAX, ROWS_A_BATCH, broken=lambda error: self.broken.append(repr(error))
        )

    def answer(self, items: list[int]) -> list[Answer]:
        self.go_on.wait(10)
        self.batches.append(items)
        if self.fail_once:
            self.fail_once = False
            raise MemoryError
        if -1 in items:
            raise ValueError("an item that cannot be computed")
        return [{"of": item} for item in items]


def inside(test: Callable[[Room], Any]) -> None:
    """Run a test beside a queue that answers."""

    async def both() -> None:
        with ThreadPoolExecutor(1) as thread:
            room = Room(thread)
            running = asyncio.create_task(room.queue.run())
            try:
                await test(room)
            finally:
                room.go_on.set()
                running.cancel()

    asyncio.run(both())


def test_what_waits_is_merged_and_each_gets_its_own() -> None:
    async def test(room: Room) -> None:
        asked = [asyncio.create_task(room.queue.ask([n], 1)) for n in range(6)]
        await asyncio.sleep(0.05)
        room.go_on.set()
        assert await asyncio.gather(*asked) == [[{"of": n}] for n in range(6)]
        assert room.batches == [[0, 1, 2, 3], [4, 5]]
        assert room.queue.rows == 0

    inside(test)


def test_beyond_the_bound_a_request_is_sent_away_and_the_others_are_answered() -> None:
    async def test(room: Room) -> None:
        asked = [asyncio.create_task(room.queue.ask([n, n], 2)) for n in range(4)]
        await asyncio.sleep(0.05)
        with pytest.raises(ServeError, match="E_SERVE_BUSY") as refused:
            await room.queue.ask([9], 1)
        assert refused.value.status == 503
        room.go_on.set()
        assert await asyncio.gather(*asked) == [[{"of": n}, {"of": n}] for n in range(4)]
        assert await room.queue.ask([9], 1) == [{"of": 9}]

    inside(test)


def test_a_request_that_fails_takes_no_other_with_it() -> None:
    async def test(room: Room) -> None:
        asked = [asyncio.create_task(room.queue.ask([n], 1)) for n in (1, -1, 2)]
        await asyncio.sleep(0.05)
        room.go_on.set()
        first, bad, last = await asyncio.gather(*asked, return_exceptions=True)
        assert (first, last) == ([{"of": 1}], [{"of": 2}])
        assert isinstance(bad, ServeError)
        assert (bad.status, bad.code) == (500, "E_SERVE_INTERNAL")
        assert await room.queue.ask([3], 1) == [{"of": 3}]

    inside(test)


def test_an_exception_that_does_not_come_again_is_told_all_the_same() -> None:
    """All are answered one by one, and the process must end nevertheless: nobody knows what is half done."""

    async def test(room: Room) -> None:
        room.fail_once = True
        asked = [asyncio.create_task(room.queue.ask([n], 1)) for n in range(3)]
        await asyncio.sleep(0.05)
        room.go_on.set()
        assert await asyncio.gather(*asked) == [[{"of": n}] for n in range(3)]
        await asyncio.sleep(0)
        assert room.broken == ["MemoryError()"]

    inside(test)


def test_who_hangs_up_is_not_computed() -> None:
    async def test(room: Room) -> None:
        first = asyncio.create_task(room.queue.ask([1], 1))
        await asyncio.sleep(0.02)
        gone = asyncio.create_task(room.queue.ask([2], 1))
        await asyncio.sleep(0.02)
        gone.cancel()
        room.go_on.set()
        await first
        assert await room.queue.ask([3], 1) == [{"of": 3}]
        assert room.batches == [[1], [3]]
        assert room.queue.rows == 0

    inside(test)
