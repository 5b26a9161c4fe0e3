"""Payments and labels out together, each label in its time: as fast as digested, or each at its own moment.

A label goes right behind the payments that were before it. What makes of two topics one order again is the
gate, which reads them in step by time. `Through` says how many leading payments have come out at the other
end: a replay at full speed does not run further ahead of it than `in_flight_max`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.traffic.input_files import Records
from headrace.traffic.merge import Slice, slices
from headrace.traffic.pacing import Pacer
from headrace.traffic.producer import RecordProducer

Through = Callable[[], int]
_WAIT_S = 0.002
STEP_EVENTS = 100  # payments between which labels go: a label is that late at most


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTopics:
    """Full names of the two topics."""

    transactions: str
    labels: str


class Replay:
    """Sends payments [start, stop) and the labels that fall due, in three ways; call in ascending order."""

    def __init__(
        self, producer: RecordProducer, topics: ReplayTopics, payments: Records, labels: Records | None,
        through: Through = lambda: 0,
    ) -> None:  # fmt: skip
        self._producer, self._topics = producer, topics
        self._payments, self._labels = payments, labels
        self._through = through
        self._label_ms = labels.moment_ms if labels is not None else np.zeros(0, np.int64)
        self.payments_sent = 0
        self.labels_sent = 0

    def rush(
        self, start: int, stop: int, slice_events: int = 1_000, in_flight_max: int | None = 10_000
    ) -> None:
        """Send as fast as possible, at most `in_flight_max` payments ahead of what is through.

        How far that is, is looked at once a slice.
        """
        for begin in range(start, stop, slice_events):
            end = min(begin + slice_events, stop)
            while in_flight_max is not None and end - self._through() > in_flight_max:
                self._producer.poll()
                time.sleep(_WAIT_S)
            self._send(begin, end)

    def pace(
        self, start: int, stop: int, due_s: NDArray[np.float64], tick_s: float = 0.001
    ) -> NDArray[np.float64]:
        """Send each payment at its moment, whatever happens downstream (open loop).

        Returns:
            Shape (stop - start,): when each was due, on the wall clock in seconds.
        """
        pacer = Pacer(due_s, time.time, self._pause, tick_s)
        low, high = pacer.due()
        while low < high:
            self._send(start + low, start + high)
            low, high = pacer.due()
        return pacer.scheduled_s()

    def _send(self, start: int, stop: int) -> None:
        """Send payments, and behind each few of them the labels that have fallen due."""
        for part in slices(self._payments.moment_ms, self._label_ms, STEP_EVENTS, start, stop):
            self._producer.send(self._topics.transactions, self._payments.slice(part.start, part.stop))
            self.payments_sent += part.stop - part.start
            self._send_labels(part)

    def _send_labels(self, part: Slice) -> None:
        if self._labels is not None and part.labels_stop > part.labels_start:
            labels = self._labels.slice(part.labels_start, part.labels_stop)
            self._producer.send(self._topics.labels, labels)
            self.labels_sent += len(labels)

    def _pause(self, seconds: float) -> None:
        """Use the time until the next payment is due for acknowledgements."""
        self._producer.poll()
        time.sleep(seconds)
