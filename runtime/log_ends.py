"""Asks where a partition begins and ends, patiently: a topic that was made a moment ago has no leader yet."""

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from runtime.kafka_errors import may_appear

PAUSE_S = 0.05


def log_ends(consumer: Consumer, place: TopicPartition, timeout_s: float) -> tuple[int, int]:
    """Return the first offset that a partition still has, and the one behind its last.

    Raises:
        KafkaException: no answer in time, or one that waiting does not change.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        left_s = max(PAUSE_S, deadline_s - time.monotonic())
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), left_s)
            return int(low), int(high)
        except KafkaException as error:
            if not may_appear(error) or time.monotonic() > deadline_s:
                raise
        time.sleep(PAUSE_S)
