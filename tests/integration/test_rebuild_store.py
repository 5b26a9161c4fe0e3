"""The online store rebuilt from the log is what was lost, byte for byte; also while the stream runs."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner

from contracts.connections import KafkaConnection
from headrace.commands.rebuild_store import command
from load.this_project import CUSTOMER_PROFILE, PROJECT
from runtime.run import Run
from streams.store.feast.materialize import materialize
from tests.integration.stage_log import Feeder
from tests.integration.stage_workers import Workers, stage_workers
from tests.integration.test_stages import drained, expected_rows, feed, redis_of, store_differs
from tests.lake_maker import make_lake
from tests.real_servers import RealServers
from tests.unit.inference.conftest import events
from tests.waiting import until

pytestmark = [
    pytest.mark.integration, pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # fmt: skip


@pytest.fixture
def workers(run: Run) -> Iterator[Workers]:
    with stage_workers(run.logs) as running:
        yield running


def dump(client: redis.Redis) -> dict[bytes, dict[bytes, bytes]]:
    """Return every hash of the run's database, as bytes."""
    return {key: dict(client.hgetall(key)) for key in client.scan_iter(count=1000, _type="hash")}


def rebuilt() -> dict[str, object]:
    """Run the command and return its report."""
    done = CliRunner().invoke(command, ["--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_flushed_store_is_rebuilt_byte_for_byte_and_while_the_stream_runs(
    servers: RealServers, run: Run, kafka: KafkaConnection, workers: Workers
) -> None:
    client = redis.Redis.from_url(f"{servers.redis_url}/{run.redis_db}")
    make_lake(run.lake, *events(count=2_000))
    assert materialize(run, PROJECT).online_rows[CUSTOMER_PROFILE.name] > 50
    feeder = Feeder(kafka, run.topic_prefix, seed=4)
    feeder.feed(500)
    feed(feeder, 2.0)
    drained(kafka, run, feeder)

    feeding = threading.Thread(target=feed, args=(feeder, 6.0))
    feeding.start()
    time.sleep(1.0)
    client.flushdb()
    live = rebuilt()
    feeding.join()
    assert live["customer"]["refilled_by_stage"] == [0, 1, 2, 3]  # type: ignore[index]
    drained(kafka, run, feeder)
    expected = expected_rows(kafka, run)
    until(
        lambda: store_differs(redis_of(servers, run), expected) == 0, timeout_s=10, what="the store is whole"
    )

    workers.stop()
    before = dump(client)
    assert len(before) > 90
    client.flushdb()
    report = rebuilt()
    assert dump(client) == before
    assert report["customer"]["refilled_by_stage"] == []  # type: ignore[index]
    client.hset(max(before), "a field", "of a stranger")
    assert dump(client) != before  # the comparison can fail
