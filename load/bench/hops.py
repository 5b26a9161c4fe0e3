"""Where the time of each payment went, from the timestamps that Kafka and the predictions keep anyway.

The topics between the workers are read after the measured time is over, so the hops cost nothing while it
lasts. A record's own timestamp is the millisecond in which its writer handed it to Kafka's client.
"""

from collections.abc import Iterator

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from numpy.typing import NDArray

from contracts.connections import KafkaConnection
from contracts.frame import decode
from contracts.topics import FEATURES_LOG
from load.this_project import PIPELINE

Floats = NDArray[np.float64]
LEFT = {
    "gate": PIPELINE.stage_inputs["customer"],
    "customer": PIPELINE.stage_inputs["terminal"],
    "terminal": FEATURES_LOG,
}
HOPS = (
    ("send", "scheduled", "appended"),
    ("gate", "appended", "gate"),
    ("customer", "gate", "customer"),
    ("terminal", "customer", "terminal"),
    ("scorer_fetch", "terminal", "received"),
    ("scorer_score", "received", "scored"),
    ("commit_and_read", "scored", "readable"),
)
QUIET_S = 10.0


def left_ms(kafka: KafkaConnection, prefix: str, events: int) -> dict[str, Floats]:
    """Return when each payment left gate, customer and terminal stage; (events,) epoch ms by raw offset.

    The run has one partition, so a payment's raw offset is its number.
    """
    return {
        stage: _stamps(kafka, topic.full_name(prefix), topic.name, events) for stage, topic in LEFT.items()
    }


def shares(moments: dict[str, Floats]) -> dict[str, dict[str, float]]:
    """Return mean, p50 and p99 of every hop in ms, and its share of the mean latency.

    >>> times = {name: np.array([float(at)]) for at, name in enumerate(
    ...     ("scheduled", "appended", "gate", "customer", "terminal", "received", "scored", "readable"))}
    >>> shares(times)["gate"]
    {'mean_ms': 1.0, 'p50_ms': 1.0, 'p99_ms': 1.0, 'share': 0.143}
    """
    whole = float(np.nanmean(moments["readable"] - moments["scheduled"]))
    found = {}
    for hop, begin, end in HOPS:
        took = moments[end] - moments[begin]
        mean = float(np.nanmean(took))
        found[hop] = {
            "mean_ms": round(mean, 2),
            "p50_ms": round(float(np.nanpercentile(took, 50)), 2),
            "p99_ms": round(float(np.nanpercentile(took, 99)), 2),
            "share": round(mean / whole, 3),
        }
    return found


def _stamps(kafka: KafkaConnection, topic: str, name: str, events: int) -> Floats:
    stamps = np.full(events, np.nan)
    for message in _whole(kafka, topic):
        frame = decode(message.value() or b"")
        if "raw_offset" in frame.rows:
            stamps[frame.rows["raw_offset"]] = message.timestamp()[1]
    missing = int(np.isnan(stamps).sum())
    if missing:
        raise RuntimeError(f"{missing} of {events} payments are in no record of {name}")
    return stamps


def _whole(kafka: KafkaConnection, topic: str) -> Iterator[Message]:
    """Yield every record of a topic's one partition."""
    consumer = Consumer(
        {
            **kafka.librdkafka(),
            "group.id": f"hops-{topic}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    try:
        while (message := consumer.poll(QUIET_S)) is not None:
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise KafkaException(error)
        raise RuntimeError(f"{topic} gave nothing for {QUIET_S:.0f} s before its end")
    finally:
        consumer.close()
