"""From Kafka's records to the core: lanes, offsets, and how far event time has come in each partition."""

from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import KafkaError, Message

from contracts.errors import ClusterError, Stop
from contracts.frame import FrameError
from contracts.frame_check import FrameReader, InputEnds
from contracts.lanes import Lanes, accept, rejoin
from contracts.topics import DRIFT, FEATURES_LOG, PREDICTIONS
from inference.learning.core import LearnerCore
from inference.learning.metrics import LearnerMetrics
from inference.learning.snapshot import Offsets
from runtime.kafka_errors import is_end, meaning_of
from runtime.unreadable import CODE, Passed, Passer, is_unreadable

log = structlog.get_logger(__name__)
Place = tuple[str, int]  # topic without a run's prefix, partition


class Intake:
    """Feeds a core with the records of all partitions.

    `offsets` are the next ones to read; `limits`, while a start catches up, those not to read beyond.
    """

    def __init__(
        self,
        core: LearnerCore,
        metrics: LearnerMetrics,
        prefix: str,
        passer: Passer,
        ends: InputEnds | None = None,
    ) -> None:
        self._core, self._metrics, self._prefix = core, metrics, prefix
        self._passer, self._passed = passer, list[Passed]()
        self._frames = FrameReader(FEATURES_LOG.name, core.project.pipeline, core.kept_rows.needed, ends)
        self.offsets: Offsets = {}
        self.lanes: dict[int, Lanes] = {}
        self.limits: dict[Place, int] = {}
        self._joined: dict[int, set[str]] = {}  # lanes met, where a part of features.log is gone
        self._newest_ms: dict[Place, int] = {}
        self._ended: set[Place] = set()

    def begin(self, offsets: Offsets, lanes: Mapping[int, Lanes], cut: Sequence[int]) -> None:
        """Begin at these offsets; lanes of `cut` partitions of features.log go on as they are found."""
        self.offsets = {topic: dict(partitions) for topic, partitions in offsets.items()}
        self.lanes = {partition: dict(each) for partition, each in lanes.items()}
        self._joined = {partition: set() for partition in cut}

    def take(self, messages: Sequence[Message]) -> set[Place]:
        """Take records in; return the partitions that have reached their limit."""
        reached: set[Place] = set()
        predictions: list[tuple[Place, int, bytes]] = []
        for message in messages:
            place = ((message.topic() or "").removeprefix(self._prefix), message.partition() or 0)
            error = message.error()
            if error is not None and is_unreadable(message):
                self._pass_over(message, place)
                continue
            if error is not None:
                self._event(error, place)
                if is_end(error):  # what is behind the last record is none
                    at = self.offsets[place[0]][place[1]]
                    self.offsets[place[0]][place[1]] = max(at, message.offset() or 0)
                if is_end(error) and place in self.limits:
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
                self._drift(place, offset, value)
            else:
                self._frame(place, offset, value)
        for place in {place for place, _, _ in predictions}:
            self._moved(place, self._core.take_predictions([v for p, _, v in predictions if p == place]))
        return reached

    def take_passed(self) -> list[Passed]:
        """Return, once, the batches that cannot be unpacked: the reader goes on behind them."""
        passed, self._passed = self._passed, []
        return passed

    def _pass_over(self, message: Message, place: Place) -> None:
        passed = self._passer.look(message)
        if passed is not None:
            self.offsets[place[0]][place[1]] = passed.behind
            self._passed.append(passed)
            self._metrics.refused.labels(place[0]).inc()
            log.error(
                "records_passed_over", code=CODE, topic=place[0], partition=place[1], first=passed.first,
                last=passed.behind - 1,
            )  # fmt: skip

    def _drift(self, place: Place, offset: int, value: bytes) -> None:
        if not self._core.take_drift(value):
            self._metrics.refused.labels(place[0]).inc()
            log.error("record_refused", code="E_DRIFT_RECORD", topic=place[0], offset=offset)

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
        lanes = self.lanes.setdefault(place[1], {})
        try:
            frame = self._frames.read(value, lanes)
        except FrameError as error:
            self._metrics.refused.labels(FEATURES_LOG.name).inc()
            log.error("frame_refused", code=error.code, offset=offset, partition=place[1])
            return
        if place[1] in self._joined:
            rejoin(frame, lanes, self._joined[place[1]])
        rows = accept(frame, lanes, lambda _: self._metrics.gaps.inc())
        self._moved(place, self._core.take_log(rows, frame.kind, place[1]))

    def _moved(self, place: Place, newest_ms: int) -> None:
        self._newest_ms[place] = max(self._newest_ms.get(place, 0), newest_ms)

    def _event(self, error: KafkaError, place: Place) -> None:
        match meaning_of(error):
            case "end":
                self._ended.add(place)
            case "transient":
                log.warning("kafka_error", error=error.str())
            case "missing":
                step = "run `headrace up` or create the topics"
                raise ClusterError("E_TOPIC_MISSING", error.str(), place[0], step)
            case "hole":  # the next start says which offsets, and what goes on from there
                raise Stop(73, "E_INPUT_HOLE", error.str(), f"{place[0]}/{place[1]}")
            case _:
                raise Stop(70, "E_LEARNER_CONSUMER", error.str(), place[0])
