"""Feeding the stages record batches as the gate writes them, and recomputing what must come out."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from contracts import topics
from contracts.connections import KafkaConnection
from contracts.frame import Columns, Frame, Kind, decode, length, position, strings
from contracts.keys import partition_of
from contracts.lanes import LaneWriter, accept
from load.this_project import PIPELINE
from streams.stage.core import Marker, StageCore, StageRows
from tests.stages import customer_rows, terminal_rows
from tests.unit.streams.payments import events, label_rows

Log = list[tuple[int, bytes]]
START = Marker(input_offset=0, lanes={}, definitions_hash="")


class Feeder:
    """Writes accepted payments, and labels of some, to the first stage: a lane a source and partition."""

    def __init__(self, kafka: KafkaConnection, prefix: str, seed: int, new_customers: bool = False) -> None:
        self._producer = Producer({**kafka.librdkafka(), "enable.idempotence": True, "linger.ms": 0})
        self._prefix = prefix
        self._new_customers = new_customers  # one a transaction id, in place of a few
        self._rng = np.random.default_rng(seed)
        self._payments, self._labels = LaneWriter("transactions/0", 0), LaneWriter("labels/0", 0)
        self.fed = 0
        self.labelled = 0
        self.ids: set[bytes] = set()

    def feed(self, count: int) -> None:
        """Write `count` payments, a few of them repeats, and the labels of every fifth."""
        rows = events(self._rng, count, first_id=self.fed)
        rows["pos"] = position(1) * rows["raw_offset"]
        if self._new_customers:
            names = [f"customer-{name}" for name in rows["transaction_id"].astype(str).tolist()]
            rows["customer_id"] = strings(names)
        self.fed += count
        self.ids.update(rows["transaction_id"].tolist())
        upto = position(self.fed)
        labels = label_rows(rows, 5)
        self.labelled += length(labels)
        self._write(self._payments, Kind.SCORED, rows, upto)
        self._write(self._labels, Kind.LABEL, labels, upto)

    def flush(self) -> None:
        """Wait until Kafka has everything."""
        assert self._producer.flush(30) == 0

    def _write(self, lane: LaneWriter, kind: Kind, rows: Columns, upto: int) -> None:
        topic = PIPELINE.stage_inputs["customer"]
        targets = partition_of(rows["customer_id"], topic.partitions)
        for target, data in lane.emit(kind, rows, targets, upto):
            self._producer.produce(topic.full_name(self._prefix), data, partition=target)
        self._producer.poll(0)


@contextmanager
def _reader(kafka: KafkaConnection) -> Iterator[Consumer]:
    settings = {"group.id": "check", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer = Consumer({**kafka.librdkafka(), **settings, "fetch.wait.max.ms": 20})
    yield consumer
    consumer.close()


def read_topic(kafka: KafkaConnection, topic: str) -> dict[int, Log]:
    """Return all records of a topic, (offset, value) a partition."""
    logs: dict[int, Log] = {}
    with _reader(kafka) as consumer:
        for partition in sorted(consumer.list_topics(topic, timeout=10.0).topics[topic].partitions):
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            logs[partition] = log = Log()
            ended = False
            while not ended:
                for message in consumer.consume(5000, 0.1):
                    error, value = message.error(), message.value()
                    ended = error is not None and error.code() == KafkaError._PARTITION_EOF
                    if value is not None and error is None:
                        log.append((message.offset() or 0, value))
    return logs


def accepted(log: Log) -> list[Columns]:
    """Return what any reader of an inter-stage topic takes; a gap that stays is a failure."""
    lanes: dict[str, int] = {}
    gaps: list[Frame] = []
    parts = [accept(decode(data), lanes, gaps.append) for _, data in log]
    assert not gaps
    return [part for part in parts if length(part)]


def recomputed(log: Log, rows: StageRows, src: str) -> list[Columns]:
    """Return what a stage that never fails makes of its durable input, one record at a time."""
    core = StageCore(src, rows, START)
    out: Log = []
    for offset, data in log:
        out += core.batch([(offset, data)]).records
    lanes: dict[tuple[int, str], dict[str, int]] = {}
    made = []
    for target, data in out:
        frame = decode(data)
        made.append(accept(frame, lanes.setdefault((target, frame.src), {}), _no_gap))
    return [part for part in made if length(part)]


def _no_gap(frame: Frame) -> None:
    raise AssertionError(f"a gap at {frame.frm}")


def by_position(parts: list[Columns], name: str, position_name: str) -> dict[tuple[str, int], bytes]:
    """Return (transaction, position) -> the bits of a row's values; each row must be there once."""
    found: dict[tuple[str, int], bytes] = {}
    for part in parts:
        keys = zip(part["transaction_id"].tolist(), part[position_name].tolist(), strict=True)
        for key, values in zip(keys, part[name], strict=True):
            assert key not in found, f"doubled: {key}"
            found[key] = values.tobytes()
    return found


def payments_of(parts: list[Columns]) -> list[Columns]:
    """Return the parts that are no labels."""
    return [part for part in parts if "label" not in part]


def check(kafka: KafkaConnection, prefix: str) -> tuple[int, int]:
    """Compare both stages' outputs with a recomputation; return (payments, labels) in features.log."""
    customer_in = read_topic(kafka, PIPELINE.stage_inputs["customer"].full_name(prefix))
    terminal_in = read_topic(kafka, PIPELINE.stage_inputs["terminal"].full_name(prefix))
    features = read_topic(kafka, topics.FEATURES_LOG.full_name(prefix))
    expected = [
        part
        for p, log in customer_in.items()
        for part in recomputed(log, customer_rows(p, topics.PARTITIONS), f"events.customer/{p}")
    ]
    taken = [part for log in terminal_in.values() for part in accepted(log)]
    assert by_position(payments_of(taken), "customer_values", "customer_pos") == by_position(
        payments_of(expected), "customer_values", "customer_pos"
    )
    rows = labels = 0
    for p, log in terminal_in.items():
        made = recomputed(log, terminal_rows(p, topics.PARTITIONS), f"events.terminal/{p}")
        found = accepted(features[p])
        assert by_position(found, "terminal_values", "terminal_pos") == by_position(
            made, "terminal_values", "terminal_pos"
        )
        payments = sum(map(length, payments_of(found)))
        rows += payments
        labels += sum(map(length, found)) - payments
    return rows, labels
