"""Malformed records, written by strangers, on the topics that others write and on those between the stages.

What is put on `transactions` and `labels` is judged by the oracle like every record there: each must have its
dead letter. A record between the stages that no stage wrote must change nothing; its readers count it as
refused, which is the proof that the fault struck.
"""

import time
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from contracts.topics import FEATURES_LOG
from features.project.running import project_of_process
from headrace.stack import Kind
from load.chaos.site import Fault, Random, Site

RECORDS = 20
BOMB_BYTES = 30_000_000
FAR = (1 << 62, 1 << 61, (1 << 63) - 1)
READ_S = 10.0
COUNTED_WAIT_S = 15.0
HEAD_BYTES = 29
COUNTERS = ("headrace_stage_refused_frames_total", "headrace_scorer_frames_refused_total")

NONSENSE: tuple[bytes | None, ...] = (
    None, b"", b"null", b"[]", b"\x00" * 64, b"\xff\xfe{}", b"{" * 500, b"{\"transaction_id\": \"x\"",
    b"\x28\xb5\x2f\xfd\x04\x00", b"HRF1" + b"\xff" * 40, b"<html>502 Bad Gateway</html>", b"1e999",
    b'{"transaction_id":{"$gt":""},"event_time":NaN}', b'{"a":' * 70 + b"1" + b"}" * 70,
)  # fmt: skip


def readers() -> dict[str, Kind]:
    """Return the topics between the stages, and who reads each.

    >>> readers()["events.customer"], readers()["features.log"]
    (('stream', 'customer'), ('score',))
    """
    links = project_of_process().pipeline.chain.links
    return {**{link.input: ("stream", link.name) for link in links}, FEATURES_LOG.name: ("score",)}


def on_raw(topic: str, site: Site, rng: Random) -> bool:
    """Write nonsense on a topic of producers, alone and packed in batches of several kinds."""
    before = site.letters()
    values = [NONSENSE[int(rng.integers(len(NONSENSE)))] for _ in range(RECORDS)]
    keys = [(b"c1", None, b"\xff\xfe", b"")[int(rng.integers(4))] for _ in range(RECORDS)]
    write(site, topic, values, keys, ("none", "zstd", "gzip")[int(rng.integers(3))])
    return site.stack.until(lambda: site.letters() >= before + RECORDS, COUNTED_WAIT_S)


def bomb(topic: str, site: Site, rng: Random) -> bool:
    """Write a record of some kilobytes that unpacks to more than any reader takes in."""
    before = site.letters()
    producer = Producer(
        {
            **site.stack.kafka.librdkafka(), "compression.type": "zstd", "message.max.bytes": 2 * BOMB_BYTES,
            "log_level": 2,
        }
    )  # fmt: skip
    where = int(rng.integers(site.stack.run.partitions))
    producer.produce(site.stack.run.topic_prefix + topic, bytes(BOMB_BYTES), b"c1", partition=where)
    producer.flush(READ_S)
    return site.stack.until(lambda: site.letters() > before, COUNTED_WAIT_S)


def on_verdicts(site: Site, rng: Random) -> bool:
    """Write nonsense on the topic of analysts; nobody may stop because of it."""
    values = [NONSENSE[int(rng.integers(len(NONSENSE)))] for _ in range(RECORDS)]
    write(site, "verdicts", values, [b"x"] * RECORDS, "zstd")
    return True


def between(topic: str, site: Site, rng: Random) -> bool:
    """Write frames of strangers on a topic between the stages: its readers must refuse and count each."""
    ours = some_of(site, topic, 3)
    before = refused(topic, site)
    values = [strange(ours, rng) for _ in range(RECORDS)]
    write(site, topic, values, [None] * RECORDS, "none")
    return site.stack.until(lambda: refused(topic, site) >= before + RECORDS, COUNTED_WAIT_S)


def strange(ours: Sequence[bytes], rng: Random) -> bytes | None:
    """Return a record that no stage wrote, rather one that is nearly ours; None is one without a value.

    >>> import numpy as np
    >>> isinstance(strange([], np.random.default_rng(1)), bytes)
    True
    """
    if not ours:
        return bytes(rng.integers(0, 256, 64, "u1"))
    data = ours[int(rng.integers(len(ours)))]
    return CHANGES[int(rng.integers(len(CHANGES)))](data, rng)


def _random(_data: bytes, rng: Random) -> bytes:
    return bytes(rng.integers(0, 256, int(rng.integers(1, 400)), "u1"))


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _far(data: bytes, rng: Random) -> bytes:
    """A claim to a beginning beyond anything that the lane's input holds."""
    far = FAR[int(rng.integers(len(FAR)))]
    span = far.to_bytes(8, "little") + far.to_bytes(8, "little")
    return data[:5] + b"\x01" + data[6:9] + span + data[25:]


def _negative(data: bytes, _rng: Random) -> bytes:
    return data[:9] + (-5).to_bytes(8, "little", signed=True) + data[17:]


def _invented(data: bytes, rng: Random) -> bytes:
    """A source that is none of the lanes, as long as ours."""
    length = data[6]
    name = b"s%d/0" % int(rng.integers(10**6))
    return data[:HEAD_BYTES] + name.ljust(length, b"x")[:length] + data[HEAD_BYTES + length :]


def _kind(data: bytes, rng: Random) -> bytes:
    return data[:4] + bytes([int(rng.integers(9, 250))]) + data[5:]


def _dtype(data: bytes, _rng: Random) -> bytes:
    return data.replace(b"event_time:<i8", b"event_time:<f8").replace(b"appended_ms:<i8", b"appended_ms:<u8")


def _nothing(_data: bytes, _rng: Random) -> None:
    """Write what compaction takes for a deletion."""


CHANGES: tuple[Callable[[bytes, Random], bytes | None], ...] = (
    _nothing,
    _random,
    _cut,
    _far,
    _negative,
    _invented,
    _kind,
    _dtype,
)


def write(
    site: Site,
    topic: str,
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
    packed: str,
    only: int | None = None,
) -> None:
    """Write records as a stranger does, to all partitions in turn or to one; wait until they are there."""
    producer = Producer(
        {
            **site.stack.kafka.librdkafka(), "compression.type": packed, "linger.ms": 20, "log_level": 2,
        }
    )  # fmt: skip
    for number, (key, value) in enumerate(zip(keys, values, strict=True)):
        where = number % site.stack.run.partitions if only is None else only
        producer.produce(site.stack.run.topic_prefix + topic, value, key, partition=where)
    producer.flush(READ_S)


def some_of(site: Site, topic: str, count: int) -> list[bytes]:
    """Return some records of a topic as they are."""
    consumer = Consumer({**site.stack.kafka.librdkafka(), "group.id": "chaos-stranger", "log_level": 2})
    try:
        name = site.stack.run.topic_prefix + topic
        consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        found, deadline_s = list[bytes](), time.monotonic() + READ_S
        while len(found) < count and time.monotonic() < deadline_s:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None and message.value():
                found.append(message.value() or b"")
        return found
    finally:
        consumer.close()


def refused(topic: str, site: Site) -> int:
    """Return how many records the readers of a topic that run say that they refused."""
    ports = (
        site.stack.supervisor.metrics_port(worker)
        for worker in site.stack.supervisor.of_kind(readers()[topic])
    )
    return int(sum(counted(metrics_of(port)) for port in ports if port is not None))


def metrics_of(port: int) -> str:
    """Return a worker's metrics, nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2.0) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def counted(metrics: str) -> float:
    """Return the sum of the counters of refused records.

    >>> counted('headrace_stage_refused_frames_total{code="E_FRAME_KIND"} 3.0\\nheadrace_rows_total 9.0')
    3.0
    """
    lines = [line.rpartition(" ") for line in metrics.splitlines() if not line.startswith("#")]
    return sum(float(value) for name, _, value in lines if is_count_of_refused(name))


def is_count_of_refused(name: str) -> bool:
    """Return whether a series counts records that were not taken."""
    return name.partition("{")[0] in COUNTERS


def catalogue() -> dict[str, Fault]:
    """Return the group's faults by name."""
    raw = list(project_of_process().pipeline.by_topic)
    found: dict[str, Fault] = {f"malformed:{topic}": partial(on_raw, topic) for topic in raw}
    found |= {f"malformed:{topic}": partial(between, topic) for topic in readers()}
    found |= {f"malformed:bomb-{topic}": partial(bomb, topic) for topic in raw}
    return found | {"malformed:verdicts": on_verdicts}
