"""Payments and labels out together: as fast as they are digested, or each at its own moment.

`Through` says how many leading payments are past the point where labels count. Labels wait for it, and a
replay at full speed does not run further ahead of it than `in_flight_max`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from load.merge import HeldLabels, Slice, slices
from load.pacing import Pacer
from load.producer import Outbox
from load.source import Records

Through = Callable[[], int]
_WAIT_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTopics:
    """Full names of the two topics."""

    transactions: str
    labels: str


class Acknowledged:
    """The weakest `Through`: payments acknowledged by Kafka, less a number held back.

    It keeps labels behind payments in the log; a consumer far behind may still meet them early, so use it
    where consumers keep up or where nobody learns from the result.
    """

    def __init__(self, outbox: Outbox, topic: str, hold_back_events: int) -> None:
        self._outbox, self._topic = outbox, topic
        self.hold_back_events = hold_back_events

    def __call__(self) -> int:
        return max(0, self._outbox.leading_acknowledged(self._topic) - self.hold_back_events)


class Replay:
    """Sends payments [start, stop) and the labels that fall due, in three ways; call in ascending order."""

    def __init__(
        self, outbox: Outbox, topics: ReplayTopics, payments: Records, labels: Records | None,
        through: Through,
    ) -> None:  # fmt: skip
        self._outbox, self._topics = outbox, topics
        self._payments, self._labels = payments, labels
        self._through = through
        self._held = HeldLabels()
        self._label_ms = labels.moment_ms if labels is not None else np.zeros(0, np.int64)
        self.payments_sent = 0
        self.labels_sent = 0

    def rush(
        self, start: int, stop: int, slice_events: int = 1_000, in_flight_max: int | None = 10_000
    ) -> None:
        """Send as fast as possible, at most `in_flight_max` payments ahead of what is through."""
        for part in self._slices(start, stop, slice_events):
            while in_flight_max is not None and part.stop - self._through() > in_flight_max:
                self.release_labels()
                self._outbox.poll()
                time.sleep(_WAIT_S)
            self._send(part)

    def pace(
        self, start: int, stop: int, due_s: NDArray[np.float64], tick_s: float = 0.001
    ) -> NDArray[np.float64]:
        """Send each payment at its moment, whatever happens downstream (open loop).

        Returns:
            Shape (stop - start,): when each was due, on the wall clock in seconds.
        """
        pacer = Pacer(due_s, time.time, self._pause, tick_s)
        waiting = list(self._slices(start, stop, max(1, (stop - start) // 200)))
        low, high = pacer.due()
        while low < high:
            self._outbox.send(self._topics.transactions, self._payments.slice(start + low, start + high))
            self.payments_sent += high - low
            while waiting and waiting[0].stop <= start + high:
                self._hold(waiting.pop(0))
            low, high = pacer.due()
        return pacer.scheduled_s()

    def release_labels(self) -> None:
        """Send the labels whose payments are through."""
        if self._labels is not None:
            low, high = self._held.release(self._through())
            if high > low:
                self._outbox.send(self._topics.labels, self._labels.slice(low, high))
                self.labels_sent += high - low

    @property
    def labels_waiting(self) -> bool:
        """Return whether labels of payments already sent still wait."""
        return len(self._held) > 0

    def _slices(self, start: int, stop: int, size: int) -> "list[Slice]":
        return list(slices(self._payments.moment_ms, self._label_ms, size, start, stop))

    def _send(self, part: Slice) -> None:
        self._outbox.send(self._topics.transactions, self._payments.slice(part.start, part.stop))
        self.payments_sent += part.stop - part.start
        self._hold(part)
        self.release_labels()

    def _hold(self, part: Slice) -> None:
        if self._labels is not None:
            self._held.hold(part)

    def _pause(self, seconds: float) -> None:
        """Use the time until the next payment is due for acknowledgements and labels."""
        self._outbox.poll()
        self.release_labels()
        time.sleep(seconds)
