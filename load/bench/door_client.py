"""Callers of the HTTP door, open loop: each request has its moment, whatever became of the ones before."""

import asyncio
import threading
import time
from typing import NamedTuple

import aiohttp
import numpy as np
from numpy.typing import NDArray

CONNECTIONS = 100
TIMEOUT_S = 30.0


class Request(NamedTuple):
    """One request: the door's path and a body."""

    path: str
    body: bytes


class Callers(threading.Thread):
    """Sends requests on time and notes, by request, how long after its due moment the answer was whole.

    `latency_ms` is NaN where there was none; `statuses` has HTTP's, 0 where there was none.
    """

    def __init__(self, address: str, token: str, requests: list[Request], due_s: NDArray[np.float64]) -> None:
        super().__init__(name="callers", daemon=True)
        self._address, self._token = address, token
        self._requests, self._due_s = requests, due_s
        self.latency_ms = np.full(len(requests), np.nan)
        self.statuses = np.zeros(len(requests), np.int64)
        self.degraded = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Send everything and wait for the answers."""
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001  # carried to the thread that waits for the result
            self.failure = error

    def finish(self) -> None:
        """Wait for the end.

        Raises:
            RuntimeError: the callers failed.
        """
        self.join()
        if self.failure is not None:
            raise RuntimeError("the callers of the door failed") from self.failure

    async def _send(self) -> None:
        limits = aiohttp.TCPConnector(limit=CONNECTIONS)
        headers = {"Authorization": f"Bearer {self._token}"}
        patience = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(
            self._address, connector=limits, headers=headers, timeout=patience
        ) as session:
            begin_s = time.perf_counter()
            tasks = []
            for number, due_s in enumerate(self._due_s.tolist()):
                wait_s = begin_s + due_s - time.perf_counter()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                tasks.append(asyncio.create_task(self._one(session, number, begin_s + due_s)))
            await asyncio.gather(*tasks)

    async def _one(self, session: aiohttp.ClientSession, number: int, due_s: float) -> None:
        request = self._requests[number]
        async with session.post(request.path, data=request.body) as response:
            body = await response.read()
        self.latency_ms[number] = (time.perf_counter() - due_s) * 1e3
        self.statuses[number] = response.status
        self.degraded += b'"degraded":true' in body
