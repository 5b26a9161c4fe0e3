"""A subscriber that is there all the time: what it read as committed must be what is there at the end."""

import time

from confluent_kafka import Message

from contracts.connections import KafkaConnection
from contracts.pipeline import Pipeline
from headrace.traffic.observed import Observed
from headrace.traffic.result_reader import ResultReader


class Reader(ResultReader):
    """Keeps every prediction with its place, and when the last one came (monotonic seconds)."""

    def __init__(
        self, pipeline: Pipeline, kafka: KafkaConnection, topic_prefix: str, observed: Observed
    ) -> None:
        super().__init__(pipeline, kafka, topic_prefix, observed)
        self.seen: list[tuple[int, int, bytes]] = []
        self.newest_s = time.monotonic()
        self.longest_silence_s = 0.0

    @property
    def newest(self) -> dict[int, int]:
        """Return the newest offset in each partition of `predictions`."""
        return {partition: offset for partition, offset, _ in self.seen}

    def note(self, topic: str, message: Message) -> None:
        """Keep a prediction."""
        if topic == "predictions":
            now_s = time.monotonic()
            if self.seen:
                self.longest_silence_s = max(self.longest_silence_s, now_s - self.newest_s)
            self.newest_s = now_s
            self.seen.append((message.partition() or 0, message.offset() or 0, message.value() or b""))
