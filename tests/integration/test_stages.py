"""The stages on real Kafka and Redis through crashes and outages: nothing lost, doubled or changed."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from contracts import topics
from contracts.connections import KafkaConnection, RedisConnection
from contracts.frame import length
from features.feast_row import RowReaderCodec
from load.this_project import CUSTOMER, PIPELINE, TERMINAL
from runtime.redis_socket import RedisSocket
from runtime.run import Run
from streams.stage.core import StageCore, StageRows
from streams.stage.entity_stage import EntityStage
from streams.store.rows import StoreRows, concat_rows
from tests.integration.stage_log import START, Feeder, accepted, check, read_topic
from tests.integration.stage_workers import Workers, stage_workers
from tests.real_servers import RealServers
from tests.stages import customer_rows, terminal_rows
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def workers(run: Run) -> Iterator[Workers]:
    with stage_workers(run.logs) as running:
        yield running


def feed(feeder: Feeder, seconds: float, rate: int = 400) -> None:
    """Feed payments at a rate."""
    began, first = time.monotonic(), feeder.fed
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) - (feeder.fed - first)
        if due:
            feeder.feed(due)
        time.sleep(0.01)
    feeder.flush()


def outputs(kafka: KafkaConnection, run: Run) -> int:
    """Return how many rows a reader of features.log has by now."""
    log = read_topic(kafka, topics.FEATURES_LOG.full_name(run.topic_prefix))
    return sum(length(part) for records in log.values() for part in accepted(records))


def drained(kafka: KafkaConnection, run: Run, feeder: Feeder) -> None:
    """Wait until features.log holds every payment and label."""
    due = len(feeder.ids) + feeder.labelled
    until(lambda: outputs(kafka, run) >= due, timeout_s=90, what=f"{due} rows in features.log", every_s=1.0)


def expected_rows(kafka: KafkaConnection, run: Run) -> dict[str, StoreRows]:
    """Return what the online store must hold: every key's newest row, by recomputation."""
    stages: dict[str, tuple[topics.Topic, Callable[[int, int], EntityStage]]] = {
        "customer": (PIPELINE.stage_inputs["customer"], customer_rows),
        "terminal": (PIPELINE.stage_inputs["terminal"], terminal_rows),
    }
    found = {}
    for name, (topic, kind) in stages.items():
        parts = []
        for partition, log in read_topic(kafka, topic.full_name(run.topic_prefix)).items():
            rows: StageRows = kind(partition, topics.PARTITIONS)
            core = StageCore(f"{topic.name}/{partition}", rows, START)
            core.batch(log)
            parts.append(rows.latest())
        found[name] = concat_rows(parts)
    return found


def store_differs(redis: RedisConnection, expected: dict[str, StoreRows]) -> int:
    """Return how many keys the store holds otherwise than expected."""
    connection, wrong = RedisSocket(redis, 2.0, 5.0), 0
    for entity in (CUSTOMER, TERMINAL):
        rows = expected[entity.name]
        codec = RowReaderCodec(
            "headrace", entity.join_key, [(view.name, view.columns) for view in entity.views]
        )
        connection._socket.sendall(codec.encode(rows.keys))
        buffer, read = b"", None
        while read is None:
            buffer += connection._socket.recv(1 << 16)
            read = codec.decode(buffer, len(rows.keys))
        same = (read.values == rows.values) | (np.isnan(read.values) & np.isnan(rows.values))
        wrong += int((~(same.all(axis=1) & (read.stamps[:, 0] == rows.positions))).sum())
    connection.close()
    return wrong


def assert_exact(kafka: KafkaConnection, run: Run, feeder: Feeder) -> None:
    payments, labels = check(kafka, run.topic_prefix)
    assert (payments, labels) == (len(feeder.ids), feeder.labelled)


def redis_of(servers: RealServers, run: Run) -> RedisConnection:
    return RedisConnection.from_url(f"{servers.redis_url}/{run.redis_db}")


def test_killed_workers_lose_double_and_change_nothing(
    servers: RealServers, run: Run, kafka: KafkaConnection, workers: Workers
) -> None:
    feeder = Feeder(kafka, run.topic_prefix, seed=1)
    feeder.feed(200)
    until(lambda: outputs(kafka, run) > 0, timeout_s=60, what="the first features", every_s=0.5)
    for stage in ("customer", "terminal", "customer"):
        feed(feeder, 3.0)
        workers.kill(stage)
        feed(feeder, 3.0)
    drained(kafka, run, feeder)
    workers.stop()
    assert workers.exits == {"customer": [-9, -9, 0], "terminal": [-9, 0]}
    assert_exact(kafka, run, feeder)
    assert store_differs(redis_of(servers, run), expected_rows(kafka, run)) == 0


def test_a_flood_of_new_keys_stops_at_the_bound_and_goes_on_exactly_where_it_was(
    run: Run, kafka: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was folded in since the last checkpoint is read again once the bound is raised."""
    feeder = Feeder(kafka, run.topic_prefix, seed=3, new_customers=True)
    with monkeypatch.context() as bound:
        bound.setenv("HEADRACE_STAGE_STATE_MIB_MAX", "1")
        with stage_workers(run.logs) as flooded:

            def fed_until_it_stops() -> bool:
                feeder.feed(50)
                return bool(flooded.exits["customer"])

            until(fed_until_it_stops, timeout_s=90, what="the stop at the bound", every_s=0.1)
            feeder.feed(50)
            feeder.flush()
        assert flooded.exits["customer"] == [5]
        assert "E_STATE_LIMIT" in flooded.log("customer")
    with stage_workers(run.logs) as raised:
        drained(kafka, run, feeder)
        assert raised.exits["customer"] == []
    assert_exact(kafka, run, feeder)


def test_a_stopped_and_emptied_store_delays_nothing_and_comes_back_by_itself(
    servers: RealServers, run: Run, kafka: KafkaConnection, workers: Workers
) -> None:
    feeder = Feeder(kafka, run.topic_prefix, seed=2)
    feeder.feed(200)
    until(lambda: outputs(kafka, run) > 0, timeout_s=60, what="the first features", every_s=0.5)
    feed(feeder, 2.0)
    servers.stop_redis()
    before = outputs(kafka, run)
    feed(feeder, 4.0)
    assert outputs(kafka, run) > before
    servers.start_redis()  # empty
    feed(feeder, 3.0)
    drained(kafka, run, feeder)
    redis, expected = redis_of(servers, run), expected_rows(kafka, run)
    until(lambda: store_differs(redis, expected) == 0, timeout_s=10, what="the store is whole again")
    connection = RedisSocket(redis, 2.0, 5.0)
    connection.command("FLUSHDB")
    connection.close()
    until(lambda: store_differs(redis, expected) == 0, timeout_s=10, what="the store is whole after a flush")
    workers.stop()
    assert workers.exits == {"customer": [0], "terminal": [0]}
    assert_exact(kafka, run, feeder)
