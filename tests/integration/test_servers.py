"""Local servers: found again, never confused with strangers, stopped cleanly, back on the same ports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.errors import ClusterError
from headrace.processes import Process
from headrace.servers import LocalServers
from headrace.servers.kafka import broker_answers
from headrace.servers.redis import redis_answers
from headrace.servers.server import Running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServers]:
    servers = LocalServers(tmp_path_factory.mktemp("local"), tethered=True)
    servers.start()
    yield servers
    servers.stop()


def test_a_second_start_finds_what_runs(local: LocalServers) -> None:
    again = LocalServers(local.folder.parent, tethered=True)
    assert again.running
    before = {status.name: status.pid for status in local.status()}
    servers = again.start()
    assert servers.pids == before
    assert (
        json.loads((local.folder / "servers.json").read_text())["bootstrap_servers"]
        == servers.bootstrap_servers
    )


def test_the_broker_takes_only_topics_that_were_created(local: LocalServers) -> None:
    servers = local.start()
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "message.timeout.ms": 2000})
    errors: list[object] = []
    producer.produce("misspelt", b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    assert len(errors) == 1
    assert errors[0] is not None
    assert (
        "misspelt" not in AdminClient({"bootstrap.servers": servers.bootstrap_servers}).list_topics().topics
    )


def test_kafkas_own_console_programs_work_on_it(local: LocalServers, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = local.start()
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    admin.create_topics([NewTopic("read-me", 1, 1)])["read-me"].result(20)
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "transactional.id": "console"})
    producer.init_transactions(30)
    for value, end in (
        (b"taken back", producer.abort_transaction),
        (b"committed", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce("read-me", value)
        producer.flush(20)
        end(20)
    monkeypatch.setenv("HEADRACE_ROOT", str(local.folder.parent))
    reader = "kafka-console-consumer --topic read-me --from-beginning --isolation-level read_committed"
    command = [sys.executable, "-m", "headrace", "servers", "tool", *reader.split(), "--max-messages", "1"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert answer.stdout == "committed\n", answer.stderr


@pytest.mark.parametrize("crash", [False, True])
def test_kafka_comes_back_on_its_port_with_what_it_held(local: LocalServers, crash: bool) -> None:
    servers = local.start()
    topic = f"kept-{crash}"
    to: dict[str, Any] = {"bootstrap.servers": servers.bootstrap_servers}
    admin = AdminClient(to)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    producer = Producer(to)
    producer.produce(topic, b"a payment")
    assert producer.flush(20) == 0
    assert local.restart_kafka(crash=crash).bootstrap_servers == servers.bootstrap_servers
    consumer = Consumer({**to, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == b"a payment"


def test_redis_comes_back_empty_on_its_port(local: LocalServers) -> None:
    servers = local.start()
    with redis.Redis.from_url(servers.redis_url) as client:
        client.set("row", "1")
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        local.stop_redis()
        assert not redis_answers(servers.ports["redis"])
        assert local.start_redis().redis_url == servers.redis_url
        assert client.get("row") is None


def test_everything_listens_on_loopback_only(local: LocalServers) -> None:
    ports = {
        f"{port:04X}" for server in (local.kafka, local.redis) if server.alive for port in server.alive.ports
    }
    loopback = {
        "0100007F",
        "0000000000000000FFFF00000100007F",
    }  # as /proc writes 127.0.0.1, and mapped into v6
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    ours = [address for address, port in listening if port in ports]
    assert len(ours) == 3
    assert set(ours) <= loopback


def test_a_stale_note_is_recognised_and_no_stranger_is_stopped(tmp_path: Path) -> None:
    servers = LocalServers(tmp_path, tethered=True)
    stranger = Process(os.getpid(), Process.this().start_tick - 1)  # our id, as reused after a reboot
    for server in (servers.kafka, servers.redis):
        server.folder.mkdir(parents=True)
        (server.folder / "process.json").write_text(json.dumps(_note(Running(stranger, (1, 2), 0.0))))
    assert not servers.running
    servers.stop()
    assert Process.this().alive()


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("HEADRACE_REDIS_SERVER", str(broken))
    server = LocalServers(tmp_path, tethered=True).redis
    with pytest.raises(ClusterError, match="out of order") as caught:
        server.await_ready(server.launch((1,)))
    assert caught.value.code == "E_SERVER_ENDED"


def test_stop_leaves_nothing_running(tmp_path: Path) -> None:
    servers = LocalServers(tmp_path, tethered=True)
    ports = servers.start().ports
    servers.stop()
    assert not broker_answers(ports["kafka"])
    assert not redis_answers(ports["redis"])
    assert not (tmp_path / ".headrace" / "servers.json").exists()
    assert [status.running for status in servers.status()] == [False, False]


def _note(running: Running) -> dict[str, object]:
    process = {"pid": running.process.pid, "start_tick": running.process.start_tick}
    return {"process": process, "ports": running.ports, "since_s": running.since_s}
