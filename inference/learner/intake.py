"""From Kafka's records to the core: lanes, offsets, and how far event time has come in each partition."""

from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import KafkaError, Message

from contracts.errors import ClusterError, Stop
from contracts.frame import FrameError, Kind, decode
from contracts.lanes import Lanes, accept
from contracts.topics import DRIFT, FEATURES_LOG, PREDICTIONS
from inference.learner.core import LearnerCore
from inference.learner.metrics import LearnerMetrics
from inference.learner.snapshot import Offsets

log = structlog.get_logger(__name__)
Place = tuple[str, int]  # topic without a run's prefix, partition
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT,
        KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
    }
)  # fmt: skip


class Intake:
    """Feeds a core with the records of all partitions.

    `offsets` are the next ones to read; `limits`, while a start catches up, those not to read beyond.
    """

    def __init__(self, core: LearnerCore, metrics: LearnerMetrics, prefix: str) -> None:
        self._core, self._metrics, self._prefix = core, metrics, prefix
        self.offsets: Offsets = {}
        self.lanes: dict[int, Lanes] = {}
        self.limits: dict[Place, int] = {}
        self._cut: set[int] = set()  # partitions of features.log whose beginning is gone
        self._newest_ms: dict[Place, int] = {}
        self._ended: set[Place] = set()

    def begin(self, offsets: Offsets, lanes: Mapping[int, Lanes], cut: Sequence[int]) -> None:
        """Begin at these offsets; `cut` partitions of features.log take their lanes as they find them."""
        self.offsets = {topic: dict(partitions) for topic, partitions in offsets.items()}
        self.lanes = {partition: dict(each) for partition, each in lanes.items()}
        self._cut = set(cut)

    def take(self, messages: Sequence[Message]) -> set[Place]:
        """Take records in; return the partitions that have reached their limit."""
        reached: set[Place] = set()
        predictions: list[tuple[Place, int, bytes]] = []
        for message in messages:
            place = ((message.topic() or "").removeprefix(self._prefix), message.partition() or 0)
            error = message.error()
            if error is not None:
                self._event(error, place)
                if error.code() == KafkaError._PARTITION_EOF and place in self.limits:
                    reached.add(place)
                continue
            offset = message.offset() or 0
            if offset < self.offsets[place[0]][place[1]]:
                continue  # fetched before the reader went back
            if offset >= self.limits.get(place, offset + 1):
                reached.add(place)
                continue
            self._ended.discard(place)
            self.offsets[place[0]][place[1]] = offset + 1
            self._metrics.records.labels(place[0]).inc()
            value = message.value() or b""
            if place[0] == PREDICTIONS.name:
                predictions.append((place, offset, value))
            elif place[0] == DRIFT.name:
                self._core.take_drift(value)
            else:
                self._frame(place, offset, value)
        for place in {place for place, _, _ in predictions}:
            self._moved(place, self._core.take_predictions([v for p, _, v in predictions if p == place]))
        return reached

    def go_on(self, offsets: Offsets) -> None:
        """End the catching up: read on from these offsets, without limits."""
        for topic, partitions in offsets.items():
            self.offsets[topic].update(partitions)
        self.limits = {}
        self._ended.clear()  # the reader goes back from where it had looked

    @property
    def at_end(self) -> bool:
        """Return whether everything that is in the log now has been read."""
        return len(self._ended) == sum(len(each) for each in self.offsets.values())

    @property
    def watermark_ms(self) -> int:
        """Return the event time that all partitions have passed: those read to their end hold nobody up."""
        behind = [
            self._newest_ms.get(place, 0)
            for topic in (PREDICTIONS.name, FEATURES_LOG.name)
            for place in ((topic, partition) for partition in self.offsets[topic])
            if place not in self._ended
        ]
        return min(behind) if behind else self.newest_ms

    @property
    def newest_ms(self) -> int:
        """Return the newest event or label time read so far, 0 before any."""
        return max(self._newest_ms.values(), default=0)

    def _frame(self, place: Place, offset: int, value: bytes) -> None:
        try:
            frame = decode(value)
        except FrameError as error:
            self._metrics.refused.labels(FEATURES_LOG.name).inc()
            log.error("frame_refused", code=error.code, offset=offset, partition=place[1])
            return
        lanes = self.lanes.setdefault(place[1], {})
        if place[1] in self._cut:
            lanes.setdefault(frame.src, frame.frm)
        rows = accept(frame, lanes, lambda _: self._metrics.gaps.inc())
        if frame.kind in (Kind.LABEL, Kind.FEATURE):
            self._moved(place, self._core.take_log(rows, frame.kind, place[1]))

    def _moved(self, place: Place, newest_ms: int) -> None:
        self._newest_ms[place] = max(self._newest_ms.get(place, 0), newest_ms)

    def _event(self, error: KafkaError, place: Place) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(place)
        elif error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            raise ClusterError(
                "E_TOPIC_MISSING", error.str(), place[0], "run `headrace up` or create the topics"
            )
        elif error.code() not in _PASSING:
            raise Stop(70, "E_LEARNER_CONSUMER", error.str(), place[0])
        else:
            log.warning("kafka_error", error=error.str())
