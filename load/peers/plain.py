"""The plain pipeline as a whole: Faust with a push an event, a consumer with a read an event, measured."""

import os
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.connections import KafkaConnection, RedisConnection
from headrace.traffic.input_files import Records
from headrace.traffic.producer import RecordProducer
from load.bench.measure import Figures, TreeMeter
from load.peers.plain_store import ENTITIES, apply, open_store, references
from load.peers.progress import TopicCount
from load.peers.toy_model import toy_model

TOPICS = ("transactions", "by_terminal", "ready", "predictions")
WARM_UP_EVENTS = 20
TIMEOUT_S = 300.0
POLL_S = 0.05


def run(
    kafka: KafkaConnection, redis: RedisConnection, folder: Path, payments: Records, events: int
) -> dict[str, Figures]:
    """Send `events` payments after a warm-up; return figures of `plain`, and of its two processes apart.

    Raises:
        TimeoutError: no output for a long while.
    """
    prefix = f"plain{time.time_ns() // 1_000_000}."
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(folder, redis)
    apply(store, folder)
    toy_model([name.replace(":", "__") for name in references()]).save_model(folder / "model.txt")
    _create_topics(kafka, prefix)
    environment = {
        **os.environ, "PLAIN_PREFIX": prefix, "PLAIN_FOLDER": str(folder),
        "PLAIN_BOOTSTRAP": kafka.bootstrap_servers, "PLAIN_REDIS": f"redis://{redis.host}:{redis.port}/{redis.db}",
    }  # fmt: skip
    commands = {"app": ["load.peers.plain_app", "worker"], "scorer": ["load.peers.plain_scorer"]}
    with (folder / "plain.log").open("wb") as log:
        processes = {
            name: subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log, env=environment)
            for name, command in commands.items()
        }
        try:
            return _measure(kafka, prefix, payments, events, processes)
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait(20)


def _measure(
    kafka: KafkaConnection, prefix: str, payments: Records, events: int,
    processes: dict[str, "subprocess.Popen[bytes]"],
) -> dict[str, Figures]:  # fmt: skip
    producer = RecordProducer(kafka)
    done = TopicCount(kafka, f"{prefix}predictions")
    producer.send(f"{prefix}transactions", payments.slice(0, WARM_UP_EVENTS))
    producer.flush()
    done.wait(WARM_UP_EVENTS, TIMEOUT_S)
    whole = TreeMeter([process.pid for process in processes.values()])
    apart = {name: TreeMeter([process.pid]) for name, process in processes.items()}
    producer.send(f"{prefix}transactions", payments.slice(WARM_UP_EVENTS, WARM_UP_EVENTS + events))
    producer.flush()
    done.wait(WARM_UP_EVENTS + events, TIMEOUT_S)
    done.close()
    producer.close()
    return {"plain": whole.read(events), **{f"plain {n}": meter.read(events) for n, meter in apart.items()}}


def _create_topics(kafka: KafkaConnection, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    names = [*TOPICS, *(f"plain-{prefix}{entity}s-changelog" for entity in ENTITIES)]
    fresh = [NewTopic(prefix + name, num_partitions=4, replication_factor=1) for name in names[: len(TOPICS)]]
    for future in admin.create_topics(fresh).values():
        future.result(30)
