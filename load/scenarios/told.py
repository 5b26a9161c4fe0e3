"""What the run says of itself: every record of `quality` and `drift`, read committed, as it comes."""

import msgspec
import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from contracts.connections import KafkaConnection
from contracts.events import Quality
from contracts.topics import DRIFT, QUALITY


class Told:
    """Reads on at each `poll`; `quality` and `drift` hold what was said so far, oldest first."""

    def __init__(self, kafka: KafkaConnection, topic_prefix: str) -> None:
        self._quality, self._drift = QUALITY.full_name(topic_prefix), DRIFT.full_name(topic_prefix)
        self._consumer = Consumer(
            {
                **kafka.librdkafka(), "group.id": f"{topic_prefix}scenario", "enable.auto.commit": False,
                "isolation.level": "read_committed", "fetch.wait.max.ms": 50, "log_level": 2,
            }
        )  # fmt: skip
        self._consumer.assign(
            [TopicPartition(name, 0, OFFSET_BEGINNING) for name in (self._quality, self._drift)]
        )
        self.quality: list[Quality] = []
        self.drift: list[dict[str, object]] = []

    def poll(self, wait_s: float = 0.0) -> list[Quality]:
        """Return what `quality` said since the last call, waiting a little for the first of it."""
        fresh: list[Quality] = []
        while (message := self._consumer.poll(wait_s)) is not None:
            wait_s = 0.0
            if message.error() is not None:
                continue  # a broker that is away comes back
            if message.topic() == self._quality:
                fresh.append(msgspec.json.decode(message.value() or b"", type=Quality))
            else:
                self.drift.append(orjson.loads(message.value() or b"{}"))
        self.quality += fresh
        return fresh

    @property
    def reported_ms(self) -> int:
        """Return the last moment that was reported, 0 before any."""
        return max((r.at for r in self.quality if r.kind == "labels"), default=0)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
