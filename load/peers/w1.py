"""W1 on each peer: the same workload's first payments, one process, one partition, measured from outside.

A peer's input is full before it starts. It is measured from a tenth of its outputs to the last, so that its
start and its first assignments are not counted.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.connections import KafkaConnection, RedisConnection
from headrace.traffic.input_files import Record
from headrace.traffic.producer import RecordProducer
from load.bench.measure import Figures, TreeMeter
from load.peers import environment
from load.peers.progress import TopicCount
from load.peers.w1_tiles import NAMES

TIMEOUT_S = 120.0
START_SHARE = 0.1
STOP_S = 20.0


class Peer(NamedTuple):
    """A peer: how many payments take it ten seconds or so, what runs it, and in which environment."""

    events: int
    command: tuple[str, ...]
    own_environment: bool = False
    feast: bool = False
    before: tuple[str, ...] = ()


PEERS: Mapping[str, Peer] = {
    "faust": Peer(15_000, ("load.peers.w1_faust", "worker", "-l", "warn")),
    "faust-feast": Peer(600, ("load.peers.w1_faust", "worker", "-l", "warn"), feast=True),
    "quix": Peer(150_000, ("load.peers.w1_quix",), own_environment=True),
    "bytewax": Peer(
        150_000,
        ("bytewax.run", "load.peers.w1_bytewax", "-r", "recovery", "-s", "10", "-b", "0"),
        own_environment=True,
        before=("bytewax.recovery", "recovery", "1"),
    ),
}


class Place(NamedTuple):
    """Where the peers run: servers, the checkout's root, and a folder of their own."""

    kafka: KafkaConnection
    redis: RedisConnection
    root: Path
    folder: Path


class Ran(NamedTuple):
    """A peer's figures, and its outputs (transaction id, values) in order."""

    figures: Figures
    answers: list[tuple[str, list[float]]]


def run(name: str, place: Place, records: list[Record]) -> Ran:
    """Run a peer on the first of the records.

    Raises:
        RuntimeError: it gives no output; its last words are in the message.
    """
    peer = PEERS[name]
    some = records[: peer.events]
    folder = place.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{place.folder.name}-{name}."
    _create_topics(place.kafka, prefix)
    producer = RecordProducer(place.kafka)
    producer.send(f"{prefix}in", some)
    producer.flush()
    producer.close()
    python = str(environment.python(place.root)) if peer.own_environment else sys.executable
    variables = _variables(place, folder, prefix, feast=peer.feast)
    try:
        if peer.before:
            subprocess.run(
                [python, "-m", *_at(folder, peer.before)], env=variables, cwd=place.root, check=True
            )
        figures = _measured([python, "-m", *_at(folder, peer.command)], variables, place, prefix, len(some))
        return Ran(figures, list(_answers(place.kafka, f"{prefix}out", len(some))))
    finally:
        _delete_topics(place.kafka, prefix)


def _measured(
    command: list[str], variables: dict[str, str], place: Place, prefix: str, events: int
) -> Figures:
    log = Path(variables["W1_FOLDER"]) / "peer.log"
    count = TopicCount(place.kafka, f"{prefix}out")
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=variables, cwd=place.root)
    try:
        count.wait(int(events * START_SHARE), TIMEOUT_S, lambda: process.poll() is None)
        meter, first = TreeMeter([process.pid]), count.count
        count.wait(events, TIMEOUT_S)
        return meter.read(events - first)
    except TimeoutError as late:
        raise RuntimeError(f"{late}; {command[2]} says:\n{log.read_text()[-1500:]}") from late
    finally:
        count.close()
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)


def _answers(kafka: KafkaConnection, topic: str, wanted: int) -> Iterator[tuple[str, list[float]]]:
    reader = TopicCount(kafka, topic, keep=True)
    reader.wait(wanted, TIMEOUT_S)
    reader.close()
    for value in reader.values:
        row = orjson.loads(value)
        yield row["transaction_id"], [row[name] for name in NAMES]


def _variables(place: Place, folder: Path, prefix: str, *, feast: bool) -> dict[str, str]:
    redis = place.redis
    own = {
        "W1_PREFIX": prefix,
        "W1_FOLDER": str(folder.resolve()),
        "W1_BOOTSTRAP": place.kafka.bootstrap_servers,
        "PYTHONPATH": str(place.root),
    }
    if feast:
        own["W1_FEAST"] = f"redis://{redis.host}:{redis.port}/{redis.db}"
    return {**os.environ, **own}


def _at(folder: Path, command: tuple[str, ...]) -> list[str]:
    """Return the command with its recovery directory made and named in full."""
    recovery = folder.resolve() / "recovery"
    recovery.mkdir(exist_ok=True)
    return [str(recovery) if word == "recovery" else word for word in command]


def _create_topics(kafka: KafkaConnection, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    fresh = [NewTopic(f"{prefix}{name}", num_partitions=1, replication_factor=1) for name in ("in", "out")]
    for future in admin.create_topics(fresh).values():
        future.result(30)


def _delete_topics(kafka: KafkaConnection, prefix: str) -> None:
    """Delete the peer's topics, those that it made for itself too."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    deadline_s = time.monotonic() + 10
    names = [name for name in admin.list_topics(timeout=10).topics if prefix in name]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(max(1.0, deadline_s - time.monotonic()))
