"""Sends the records of a run at their moments, whatever happens downstream, in a thread of its own."""

import threading
import time
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from headrace.traffic.pacing import Pacer, at_rate
from headrace.traffic.producer import RecordProducer
from load.chaos.input import Sent

TICK_S = 0.005


class Sender(threading.Thread):
    """Open loop: a broker that is away does not slow it, its records wait in the client.

    The first `ahead` records go at once; the others wait for `go`, so that no start is in the load.
    `sent` counts records handed to the client, `payments_sent` those that are payments with an id.
    """

    def __init__(
        self, producer: RecordProducer, prefix: str, records: list[Sent], rate: float, ahead: int
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._producer, self._prefix, self._records = producer, prefix, records
        self._rate, self._ahead = rate, ahead
        self._payments = np.concatenate([[0], np.cumsum([bool(sent.id) for sent in records])])
        self._going, self._ending = threading.Event(), threading.Event()
        self._sent_s = np.full(len(records), np.nan)
        self.sent = 0
        self.failure: Exception | None = None

    @property
    def unsent(self) -> int:
        """Return how many records have not been handed over."""
        return 0 if self._ending.is_set() else len(self._records) - self.sent

    @property
    def left_s(self) -> float:
        """Return how long the load still lasts."""
        return self.unsent / self._rate

    @property
    def payments_sent(self) -> int:
        """Return how many payments with an id were handed over."""
        return self.payments_among(self.sent)

    def payments_among(self, records: int) -> int:
        """Return how many of the first records are payments with an id."""
        return int(self._payments[min(records, len(self._records))])

    def payments_sent_s(self, rows: slice) -> NDArray[np.float64]:
        """Return when payments with an id were handed over, on the wall clock; `rows` counts those."""
        return self._sent_s[np.flatnonzero(np.diff(self._payments))[rows]]

    def run(self) -> None:
        """Send all, then wait for the acknowledgements."""
        try:
            self._send(0, self._ahead)
            self._producer.flush()
            self._going.wait()
            left = len(self._records) - self._ahead
            pacer = Pacer(at_rate(left, self._rate), time.monotonic, self._pause, TICK_S)
            low, high = pacer.due()
            while low < high and not self._ending.is_set():
                self._send(self._ahead + low, self._ahead + high)
                low, high = pacer.due()
            self._producer.flush()
            self._producer.close()
        except Exception as error:  # noqa: BLE001  # carried to the thread that waits for the end
            self.failure = error

    def go(self) -> None:
        """Begin with what comes after the first records."""
        self._going.set()

    def end(self) -> None:
        """Send no more: what was sent is judged."""
        self._ending.set()
        self._going.set()

    def _send(self, low: int, high: int) -> None:
        for topic, some in groupby(self._records[low:high], lambda sent: sent.topic):
            self._producer.send(self._prefix + topic, [sent.record for sent in some])
        self._sent_s[low:high] = time.time()
        self.sent = high

    def _pause(self, seconds: float) -> None:
        self._producer.poll()
        time.sleep(seconds)
