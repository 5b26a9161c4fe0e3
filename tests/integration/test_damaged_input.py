"""Input that is damaged under the workers: deleted unread, made again, grown, and aborted at its end."""

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click
import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from prometheus_client import CollectorRegistry

from contracts import topics
from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import HeadraceError, StateError
from contracts.frame import Kind, position
from contracts.keys import partition_of
from contracts.lanes import LaneWriter
from headrace import guarding, topics_admin
from headrace.commands import offsets, store
from headrace.commands import topics as topics_command
from headrace.lost_input import LostInput
from inference.offline.lake.known_losses import words
from inference.offline.lake.lake import Lake
from inference.scorer.kafka import committed_positions, make_consumer
from inference.scorer.position import Position, encode_lanes
from inference.scorer.settings import ScorerSettings
from load.this_project import PIPELINE, PROJECT
from runtime.input_record import InputRecord, logical
from runtime.kafka_guard import Guard, Guarded
from runtime.redis_socket import RedisSocket
from runtime.run import Run
from runtime.settings import GuardSettings
from streams.archive.archive import Archive
from streams.archive.metrics import ArchiveMetrics
from streams.archive.settings import ArchiveSettings
from streams.gate.metrics import GateMetrics
from streams.gate.settings import GateSettings
from streams.gate.worker import GateWorker
from streams.stage.changelog import ChangelogReader
from streams.stage.core import Marker
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.stage_input import StageInput
from streams.store.sentinel import Sentinel
from tests.integration.test_gate import frames, letters
from tests.real_servers import RealServers
from tests.unit.inference.support import feature_rows
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
CUSTOMER = "c1"
PARTITION = int(partition_of(np.array([b"c1"]), topics.PARTITIONS)[0])


class Served:
    """A worker of a test: what it counts, and how it ended."""

    def __init__(self) -> None:
        self.gate = GateMetrics(CollectorRegistry())
        self.archive = ArchiveMetrics(CollectorRegistry())
        self.failures: list[BaseException] = []

    def judged(self) -> float:
        """Return how many records are done with: refused, or sent on and no longer held."""
        assert not self.failures
        done = [one for metric in (self.gate.aligned, self.gate.refused) for one in metric.collect()]
        return sum(sample.value for one in done for sample in one.samples if sample.name.endswith("_total"))

    def lag(self) -> float:
        return float(self.gate.lag_records.labels("transactions", PARTITION)._value.get())


@contextmanager
def serving(run: Run, kafka: KafkaConnection, kind: str) -> Iterator[Served]:
    """Run a gate or an archive in a thread; what ended it is in `failures`."""
    stopping, served = threading.Event(), Served()
    if kind == "gate":
        gate = GateSettings(
            kafka=kafka, topic_prefix=run.topic_prefix, lake=run.lake, session_timeout_ms=6000,
            partitions=run.partitions,
        )  # fmt: skip
        worker: GateWorker | Archive = GateWorker(PIPELINE, gate, served.gate)
    else:
        settings = ArchiveSettings(
            kafka=kafka, topic_prefix=run.topic_prefix, lake=run.lake, flush_interval_ms=300.0, drain_ms=600.0
        )
        worker = Archive(PROJECT, settings, served.archive)

    def work() -> None:
        try:
            worker.run(stopping.is_set)
        except BaseException as failure:  # noqa: BLE001  # the test looks at it
            traceback.print_exception(failure)
            served.failures.append(failure)
            worker._consumer.close()  # a process would end: nobody stays in the group

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield served
    finally:
        stopping.set()
        thread.join(20)
    assert not thread.is_alive()


class Input:
    """One partition of `transactions`, written by its customer."""

    def __init__(self, run: Run, kafka: KafkaConnection) -> None:
        self.run, self.kafka, self.sent = run, kafka, 0
        self.topic = PIPELINE.scored.records.full_name(run.topic_prefix)
        self.admin = AdminClient(dict(kafka.librdkafka()))  # type: ignore[arg-type]

    def pay(self, count: int, partition: int = PARTITION, producer: Producer | None = None) -> None:
        """Send payments and wait until they are in the log."""
        writer = producer or Producer(self.kafka.librdkafka())
        for number in range(self.sent, self.sent + count):
            writer.produce(self.topic, payment(number), CUSTOMER.encode(), partition)
        self.sent += count
        assert writer.flush(20) == 0

    def delete_before(self, offset: int, topic: str = "", partition: int = PARTITION) -> None:
        """Delete a partition's records below an offset, as retention does."""
        place = TopicPartition(topic or self.topic, partition, offset)
        self.admin.delete_records([place])[place].result(20)

    def make_again(self) -> None:
        """Delete the topic and make another of its name."""
        old = self.admin.delete_topics([self.topic])[self.topic]
        old.result(20)
        until(
            lambda: self.topic not in self.admin.list_topics(timeout=5).topics,
            timeout_s=20,
            what="it is gone",
        )
        fresh = NewTopic(self.topic, topics.PARTITIONS, 1, config=PIPELINE.scored.records.configs())
        self.admin.create_topics([fresh])[self.topic].result(20)
        until(
            lambda: self.topic in self.admin.list_topics(timeout=5).topics, timeout_s=20, what="it is there"
        )


def payment(number: int) -> bytes:
    return orjson.dumps({
        "transaction_id": f"t{number}", "event_time": 1_700_000_000_000 + number, "customer_id": CUSTOMER,
        "terminal_id": f"m{number % 97}", "amount_minor": number, "currency": "EUR", "channel": "pos",
    })  # fmt: skip


@pytest.fixture
def source(run: Run, kafka: KafkaConnection) -> Input:
    return Input(run, kafka)


def guard_of(run: Run, kafka: KafkaConnection, worker: str) -> Guard:
    guarded = Guarded(PIPELINE, worker, kafka, run.lake, run.topic_prefix, run.partitions)
    return Guard(guarded, GuardSettings(), CollectorRegistry())


def accepted_ids(run: Run, kafka: KafkaConnection) -> list[int]:
    """Return the numbers of the payments that a reader of events.customer accepts."""
    rows = frames(kafka, PIPELINE.stage_inputs["customer"].full_name(run.topic_prefix), Kind.SCORED)
    return sorted(int(name[1:]) for name in rows["transaction_id"].tolist()) if rows else []


def ended_by(served: Served) -> HeadraceError:
    until(lambda: bool(served.failures), timeout_s=30, what="the worker has ended")
    assert isinstance(served.failures[0], HeadraceError)
    return served.failures[0]


def said(command: click.Command, *words: str) -> str:
    """Run a command in the environment of the test's run; return what it says."""
    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def archived(run: Run) -> list[int]:
    lake = Lake(run.lake, PROJECT)
    if not lake.has("transactions"):
        return []
    names = lake.read("transactions")["transaction_id"].to_pylist()
    return sorted(int(name[1:]) for name in names if name is not None)


def test_payments_deleted_unread_stop_gate_and_archive_until_somebody_accepts_it(
    run: Run, kafka: KafkaConnection, source: Input
) -> None:
    source.pay(100)
    with serving(run, kafka, "gate") as gate, serving(run, kafka, "archive"):
        until(lambda: gate.judged() == 100, timeout_s=30, what="the first are judged")
        until(lambda: len(archived(run)) == 100, timeout_s=30, what="the first are archived")
    source.pay(100)
    source.delete_before(150)
    for kind in ("gate", "archive"):
        with serving(run, kafka, kind) as served:
            error = ended_by(served)
        assert (error.code, error.exit_code) == ("E_INPUT_HOLE", 5)
        assert "offsets 100 to 150" in error.what
        assert "headrace offsets accept-loss --topic transactions" in error.next_step
    lost = LostInput(kafka, run)
    assert {(hole.reader, hole.frm, hole.to) for hole in lost.show().open} == {
        ("gate", 100, 150), ("archive", 100, 150),
    }  # fmt: skip
    assert "OPEN      transactions/" in said(offsets.command, "show")
    place = ["--topic", "transactions", "--partition", str(PARTITION)]
    told = said(offsets.command, "accept-loss", *place, "--reason", "retention was too short", "--who", "ann")
    assert told.count("accepted  transactions/") == 2
    with serving(run, kafka, "gate") as gate, serving(run, kafka, "archive"):
        until(lambda: gate.judged() == 50, timeout_s=30, what="the rest are judged")
        until(lambda: len(archived(run)) == 150, timeout_s=30, what="the rest are archived")
    left = [*range(100), *range(150, 200)]
    assert accepted_ids(run, kafka) == archived(run) == left
    assert not lost.show().open
    assert "by ann: retention was too short" in said(offsets.command, "show")
    assert any("ann: retention was too short" in line for line in words(Lake(run.lake, PROJECT)))


def test_a_second_hole_is_another_one(run: Run, kafka: KafkaConnection, source: Input) -> None:
    """What is accepted is accepted up to where the log begins then, and no further."""
    source.pay(10)
    with serving(run, kafka, "gate") as gate:
        until(lambda: gate.judged() == 10, timeout_s=30, what="the first are judged")
    lost = LostInput(kafka, run)
    for begin in (20, 40):
        source.pay(20)
        source.delete_before(begin)
        with serving(run, kafka, "gate") as gate:
            assert ended_by(gate).code == "E_INPUT_HOLE"
        source.delete_before(begin + 5)
        lost.accept("transactions", PARTITION, "ann", "again")
        with serving(run, kafka, "gate") as gate:
            until(lambda: gate.judged() == 5, timeout_s=30, what="the rest is judged")
    assert [(hole.frm, hole.to) for hole in lost.show().accepted] == [(10, 25), (30, 45)]


@pytest.mark.parametrize("again", [5, 60])
def test_a_topic_made_again_is_read_as_another_generation(
    run: Run, kafka: KafkaConnection, source: Input, again: int
) -> None:
    """It may be shorter or longer than what was read of the one before."""
    guard = guard_of(run, kafka, "gate")
    guard.begin()
    source.pay(30)
    with serving(run, kafka, "gate") as gate, serving(run, kafka, "archive"):
        until(lambda: gate.judged() == 30, timeout_s=30, what="the first are judged")
        until(lambda: len(archived(run)) == 30, timeout_s=30, what="the first are archived")
    assert not [found for found in guard.look(thoroughly=False) if found.refuse]
    source.make_again()
    source.pay(again)
    assert [found.error.code for found in guard.look(thoroughly=False)] == ["E_TOPIC_RECREATED"]
    with pytest.raises(StateError, match="accept-loss --topic transactions") as caught:
        guard_of(run, kafka, "archive").begin()
    assert caught.value.code == "E_TOPIC_RECREATED"
    assert LostInput(kafka, run).show().made_again == ["transactions"]
    LostInput(kafka, run).accept("transactions", None, "ann", "the payments team made it again")
    guard_of(run, kafka, "gate").begin()
    with serving(run, kafka, "gate") as gate, serving(run, kafka, "archive"):
        until(lambda: gate.judged() == again, timeout_s=30, what="the new ones are judged")
        until(lambda: len(archived(run)) == 30 + again, timeout_s=30, what="the new ones are archived")
    assert accepted_ids(run, kafka) == archived(run) == list(range(30 + again))
    offsets = Lake(run.lake, PROJECT).read("transactions")["offset"].to_pylist()
    assert max(offsets) == logical(again - 1, 1)


def test_a_topic_that_carries_state_is_not_taken_when_it_was_made_again(
    run: Run, kafka: KafkaConnection
) -> None:
    record = InputRecord(run.lake)
    record.meet({"features.log": "AAAAAAAAAAAAAAAAAAAAAA"})
    with pytest.raises(StateError, match="seed-from") as caught:
        guard_of(run, kafka, "score").begin()
    assert caught.value.code == "E_TOPIC_RECREATED"
    with pytest.raises(StateError, match="seed-from"):
        LostInput(kafka, run).accept("features.log", None, "ann", "why not")


def test_partitions_added_while_running_are_read_and_their_letters_land(
    run: Run, kafka: KafkaConnection, source: Input
) -> None:
    guard = guard_of(run, kafka, "gate")
    guard.begin()
    with serving(run, kafka, "gate") as gate, serving(run, kafka, "archive"):
        source.pay(1)
        until(lambda: gate.judged() == 1, timeout_s=30, what="the first is judged")
        source.admin.create_partitions([NewPartitions(source.topic, 6)])[source.topic].result(20)
        source.pay(1, partition=5)
        writer = Producer(kafka.librdkafka())
        writer.produce(source.topic, b"{", b"c1", 5)
        assert writer.flush(20) == 0
        until(lambda: gate.judged() == 3, timeout_s=30, what="the new partition is read")
        until(lambda: len(archived(run)) == 2 + 1 or _raw(run) == 3, timeout_s=30, what="it is archived")
    found = guard.look(thoroughly=False)
    assert [(each.error.code, each.refuse) for each in found] == [("E_TOPIC_GREW", False)]
    (letter,) = letters(kafka, source.topic + ".dlq").values()
    assert letter[1].partition() == 5 % run.partitions
    assert accepted_ids(run, kafka) == [0, 1]
    assert topics_admin.grown(kafka, run.topic_prefix) == {source.topic: 6}
    topics_admin.check(kafka, run.topic_prefix)


def _raw(run: Run) -> int:
    return (
        Lake(run.lake, PROJECT).read("transactions", ["offset"]).num_rows
        if Lake(run.lake, PROJECT).has("transactions")
        else 0
    )


def test_positions_move_past_records_that_were_aborted(
    run: Run, kafka: KafkaConnection, source: Input
) -> None:
    writer = Producer({**kafka.librdkafka(), "transactional.id": f"{run.name}-source"})
    writer.init_transactions(20)
    for end in (writer.commit_transaction, writer.abort_transaction):
        writer.begin_transaction()
        source.pay(20, producer=writer)
        end(20)
    groups = [f"{run.topic_prefix}{name}" for name in ("gate", "archive")]
    with serving(run, kafka, "gate") as gate, serving(run, kafka, "archive"):
        until(lambda: gate.judged() == 20, timeout_s=30, what="those that stand are judged")
        until(lambda: gate.lag() == 0, timeout_s=10, what="nothing is behind")
        until(lambda: [committed(kafka, group, source.topic) for group in groups] == [42, 42],
              timeout_s=20, what="both groups stand at the end")  # fmt: skip
    assert archived(run) == list(range(20))


def committed(kafka: KafkaConnection, group: str, topic: str) -> int:
    asker = Consumer({**kafka.librdkafka(), "group.id": group})
    try:
        return int(asker.committed([TopicPartition(topic, PARTITION)], 10)[0].offset)
    finally:
        asker.close()


def test_an_archive_whose_offsets_expired_goes_on_from_its_lake(
    run: Run, kafka: KafkaConnection, source: Input
) -> None:
    """The log begins behind 0 by then, and no lane claims anew."""
    topic = topics.FEATURES_LOG.full_name(run.topic_prefix)
    lane, writer = LaneWriter("events.terminal/1", base=0), Producer(kafka.librdkafka())

    def publish(first: int, count: int) -> None:
        rows = feature_rows(count, partition=1, first_offset=first)
        for target, data in lane.emit(
            Kind.SCORED, rows, np.full(count, 1, np.int32), position(first + count)
        ):
            writer.produce(topic, data, partition=target)
        assert writer.flush(20) == 0

    publish(0, 50)
    with serving(run, kafka, "archive"):
        until(lambda: len(logged(run)) == 50, timeout_s=30, what="the first are archived")
    publish(50, 50)
    group = f"{run.topic_prefix}archive"
    source.admin.delete_consumer_groups([group])[group].result(20)
    source.delete_before(1, topic, 1)
    with serving(run, kafka, "archive"):
        until(lambda: len(logged(run)) == 100, timeout_s=30, what="the next are archived")
    assert sorted(logged(run)) == sorted(f"t1-{number}" for number in range(100))


def logged(run: Run) -> list[str]:
    lake = Lake(run.lake, PROJECT)
    return (
        lake.read("features", ["transaction_id"])["transaction_id"].to_pylist()
        if lake.has("features")
        else []
    )


def test_an_archive_goes_on_behind_a_hole_in_the_feature_log_and_says_what_it_held(
    run: Run, kafka: KafkaConnection, source: Input
) -> None:
    topic = topics.FEATURES_LOG.full_name(run.topic_prefix)
    lane, writer = LaneWriter("events.terminal/1", base=0), Producer(kafka.librdkafka())
    for first in (0, 10, 20):
        rows = feature_rows(10, partition=1, first_offset=first)
        for target, data in lane.emit(Kind.SCORED, rows, np.full(10, 1, np.int32), position(first + 10)):
            writer.produce(topic, data, partition=target)
        assert writer.flush(20) == 0
        if first == 0:
            with serving(run, kafka, "archive"):
                until(lambda: len(logged(run)) == 10, timeout_s=30, what="the first are archived")
    source.delete_before(2, topic, 1)
    with serving(run, kafka, "archive") as served:
        assert ended_by(served).code == "E_INPUT_HOLE"
    LostInput(kafka, run).accept("features.log", None, "ann", "the disk was full")
    with serving(run, kafka, "archive"):
        until(lambda: len(logged(run)) == 20, timeout_s=30, what="what is left is archived")
    (lost,) = InputRecord(run.lake).lost_lanes()
    assert (lost.src, lost.frm, lost.to) == ("events.terminal/1", position(10), position(20))


def test_a_stage_and_a_scorer_stop_at_a_hole_and_go_on_behind_an_accepted_one(
    run: Run, kafka: KafkaConnection, source: Input
) -> None:
    definition = StageDefinition(stage_of(PROJECT, "customer"), run.topic_prefix, run.partitions)
    stage = StageInput(definition, run.lake, ChangelogReader(kafka))
    writer = Producer(kafka.librdkafka())
    for topic in (PIPELINE.stage_inputs["customer"], topics.FEATURES_LOG):
        for _ in range(10):
            writer.produce(topic.full_name(run.topic_prefix), b"x", partition=1)
        assert writer.flush(20) == 0
        source.delete_before(6, topic.full_name(run.topic_prefix), 1)
    marker = Marker(input_offset=2, lanes={}, definitions_hash="")
    with pytest.raises(StateError, match="offsets 2 to 6"):
        stage.begin(1, marker)
    settings = ScorerSettings(
        kafka=kafka, redis=RedisConnection(host="-", port=1), models=run.models,
        topic_prefix=run.topic_prefix, lake=run.lake,
    )  # fmt: skip
    place = TopicPartition(topics.FEATURES_LOG.full_name(run.topic_prefix), 1, 2, encode_lanes({"a": 1}, ""))
    scorer = make_consumer(settings)
    scorer.commit(offsets=[place], asynchronous=False)
    with pytest.raises(StateError, match="offsets 2 to 6"):
        committed_positions(scorer, [place], InputRecord(run.lake))
    for name in ("events.customer", "features.log"):
        LostInput(kafka, run).accept(name, 1, "ann", "the disk was full")
    begun = stage.begin(1, marker)
    assert (begun.input_offset, begun.joined) == (6, [])
    found = committed_positions(scorer, [place], InputRecord(run.lake))
    assert found == {1: Position(6, {"a": 1}, frozenset())}
    scorer.close()
    assert not stage.gaps(1).is_hole(8, 8)
    assert stage.gaps(1).is_hole(8, 9)


def test_what_a_guard_asks_of_a_cluster_as_it_should_be(run: Run, kafka: KafkaConnection) -> None:
    for worker in ("gate", "stream-customer", "stream-terminal", "score", "archive", "learn"):
        guard = guard_of(run, kafka, worker)
        guard.begin()
    found = guard.look(thoroughly=True)
    assert not [each for each in found if each.refuse]
    assert not [each for each in found if each.error.code == "E_CLOCK_APART"]


def test_topics_are_grown_and_configured_by_command(run: Run, kafka: KafkaConnection) -> None:
    assert topics_admin.grow(kafka, run.topic_prefix, 5) != []
    assert topics_admin.grow(kafka, run.topic_prefix, 5) == []
    admin = AdminClient(dict(kafka.librdkafka()))  # type: ignore[arg-type]
    name = PIPELINE.labels[0].records.full_name(run.topic_prefix)
    until(
        lambda: len(admin.list_topics(timeout=5).topics[name].partitions) == 5, timeout_s=10, what="it grew"
    )
    assert said(topics_command.command, "configure") == "every topic's settings are the table's\n"
    assert said(topics_command.command, "grow") == "every topic has the run's partitions, or more\n"


def test_two_runs_never_share_a_keyspace(servers: RealServers, run: Run, kafka: KafkaConnection) -> None:
    to = RedisConnection.from_url(f"{servers.redis_url}/{run.redis_db}")
    mine = guarding.owner_of(run)
    other = type(mine)(epoch=mine.epoch + 5, run="other.")
    connection = RedisSocket(to, 2.0, 2.0)
    first = Sentinel(run.project, "customer", run.epoch, mine)
    first.meet(connection)
    assert said(store.command, "owner").endswith(": this run\n")
    with pytest.raises(StateError, match="other") as caught:
        Sentinel(run.project, "customer", other.epoch, other).meet(connection)
    assert caught.value.code == "E_STORE_OWNER"
    asks = guarding.store_question(run, GuardSettings(), "score")
    assert list(asks()) == []
    guarding.take_over(to, run.project, other, "the run before is over")
    with pytest.raises(StateError, match="other"):
        first.meet(connection)
    assert [found.error.code for found in asks()] == ["E_STORE_OWNER"]
    with pytest.raises(StateError, match="newer"):
        guarding.take_over(to, run.project, mine, "back again")
    connection.close()
