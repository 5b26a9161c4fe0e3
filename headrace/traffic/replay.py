"""Records of all sources out together, each in its time: as fast as digested, or each at its own moment.

One source leads: the scored one where it is sent. A label goes right behind the leading records before it,
context between them. What makes of several topics one order again is the gate, which reads them in step by
time. `Through` says how many leading records have come out at the other end: a replay at full speed does not
run further ahead of it than `in_flight_max`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.traffic.input_files import Record, Records
from headrace.traffic.merge import due, places
from headrace.traffic.pacing import Pacer
from headrace.traffic.producer import RecordProducer

Through = Callable[[], int]
_WAIT_S = 0.002
STEP_EVENTS = 100  # leading records between which labels go: a label is that late at most


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRecords:
    """A source's records and the full name of their topic; labels go behind a step of leading records."""

    name: str
    topic: str
    records: Records
    is_labels: bool = False


class Replay:
    """Sends leading records [start, stop) and what falls due with them; call in ascending order.

    `sent` counts by the source's name.
    """

    def __init__(
        self, producer: RecordProducer, lead: OutgoingRecords, others: Sequence[OutgoingRecords] = (),
        through: Through = lambda: 0,
    ) -> None:  # fmt: skip
        self._producer, self._lead, self._through = producer, lead, through
        self._labels = [other for other in others if other.is_labels]
        self._context = [other for other in others if not other.is_labels]
        self.sent: Counter[str] = Counter({one.name: 0 for one in (lead, *others)})

    @property
    def lead_sent(self) -> int:
        """Return how many leading records were sent."""
        return self.sent[self._lead.name]

    def rush(
        self, start: int, stop: int, slice_events: int = 1_000, in_flight_max: int | None = 10_000
    ) -> None:
        """Send as fast as possible, at most `in_flight_max` leading records ahead of what is through.

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
        """Send each leading record at its moment, whatever happens downstream (open loop).

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
        """Send leading records, context between them, and behind each few of them the labels that are due."""
        for begin in range(start, stop, STEP_EVENTS):
            end, at = min(begin + STEP_EVENTS, stop), begin
            for place, other, record in self._between(begin, end):
                self._send_lead(at, place)
                self._producer.send(other.topic, [record])
                self.sent[other.name] += 1
                at = place
            self._send_lead(at, end)
            for labels in self._labels:
                self._send_labels(labels, begin, end)

    def _send_lead(self, start: int, stop: int) -> None:
        """Send leading records; with malformed ones among them they may be more than they are counted."""
        if stop > start:
            self._producer.send(self._lead.topic, self._lead.records.slice(start, stop))
            self.sent[self._lead.name] += stop - start

    def _send_labels(self, labels: OutgoingRecords, start: int, stop: int) -> None:
        first, last = due(self._lead.records.moment_ms, labels.records.moment_ms, start, stop)
        if last > first:
            self._producer.send(labels.topic, labels.records.slice(first, last))
            self.sent[labels.name] += last - first

    def _between(self, start: int, stop: int) -> Iterator[tuple[int, OutgoingRecords, Record]]:
        """Yield the context due with leading records, and before which of them it goes, in order of time."""
        lead_ms = self._lead.records.moment_ms
        found = list[tuple[int, int, int, OutgoingRecords, Record]]()
        for number, other in enumerate(self._context):
            moment_ms = other.records.moment_ms
            first, last = due(lead_ms, moment_ms, start, stop)
            if last > first:
                at = places(lead_ms, moment_ms[first:last]).tolist()
                moments = moment_ms[first:last].tolist()
                rows = other.records.slice(first, last)
                found += zip(at, moments, [number] * len(at), [other] * len(at), rows, strict=True)
        for place, _, _, other, record in sorted(found, key=lambda one: one[:3]):
            yield place, other, record

    def _pause(self, seconds: float) -> None:
        """Use the time until the next record is due for acknowledgements."""
        self._producer.poll()
        time.sleep(seconds)
