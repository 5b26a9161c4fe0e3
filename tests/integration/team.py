"""One of several projects on the same Kafka and Redis: its `headrace up`, its records, what strikes it."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import redis
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from contracts.connections import KafkaConnection, RedisConnection
from contracts.topics import FEATURES_LOG
from features.project.running import running_project
from headrace.processes import Process, reap, spawn
from headrace.traffic.form import forms_of
from headrace.traffic.observed import Observed
from headrace.traffic.producer import RecordProducer
from headrace.traffic.workloads import Generator
from headrace.up_state import UpState
from load.chaos.collect import declared, lake, topics_of
from load.chaos.input import Sent
from load.chaos.malformed import NONSENSE
from load.chaos.reader import Reader
from load.chaos.records import read_all
from load.chaos.sender import Sender
from load.chaos.settle import Rest, client, unfilled
from load.oracle.dump import Dump, Lost, Record
from load.oracle.judge import Verdict, judge
from runtime.input_record import InputRecord
from runtime.run import Run
from tests.real_servers import RealServers
from tests.waiting import until

EVENTS = 15_000
PARTITIONS = 2
READY_S, REST_S = 180.0, 120.0


class Team:
    """A project's run on servers that others use too: topics begin with its name, rows end with its project.

    Args:
        folder: the project's.
        root: has its `.headrace`, as a team's own folder has.
        redis_db: may be that of another project: rows are told apart by the project's name.
    """

    def __init__(self, folder: Path, root: Path, servers: RealServers, redis_db: int) -> None:
        self.project = running_project(folder)
        self.kafka = KafkaConnection(bootstrap_servers=servers.bootstrap_servers)
        root.mkdir()
        name = f"{self.project.name}-{secrets.token_hex(3)}"
        keyspace = self.project.keyspace
        self.run = Run.create(root, name, redis_db=redis_db, partitions=PARTITIONS, project=keyspace)
        self._root, self._log = root, root / "up.log"
        self._environment = {
            **os.environ, "HEADRACE_PROJECT": str(folder), "HEADRACE_ROOT": str(root),
            "HEADRACE_RUN": str(self.run.home), "HEADRACE_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "HEADRACE_REDIS_URL": f"{servers.redis_url}/{redis_db}",
        }  # fmt: skip
        self._redis = RedisConnection.from_url(self._environment["HEADRACE_REDIS_URL"], "")
        self._records = self._generated()
        self._observed = Observed.of([one.id for one in self._records if one.id], self.project)
        self._reader = Reader(self.project.pipeline, self.kafka, self.run.topic_prefix, self._observed)
        self._sender: Sender | None = None
        self._sent, self._deleted = list[Sent](), list[Record]()
        self._up: Process | None = None

    def _generated(self) -> list[Sent]:
        """Return records of the project's generator in the order of their times, those of all sources."""
        made = Generator.of(self.project.folder).records("small", EVENTS, forms_of(self.project.pipeline))
        found = [
            (at_ms, Sent(form.source.topic, record, name if form.source.is_scored else ""))
            for form, records in made.items()
            for at_ms, record, name in zip(
                records.moment_ms.tolist(), records.slice(0, len(records.moment_ms)), records.ids(),
                strict=True,
            )
        ]  # fmt: skip
        return [sent for _, sent in sorted(found, key=lambda one: one[0])]

    def begin_up(self) -> None:
        """Start `headrace up`, without waiting for it."""
        words = [sys.executable, "-m", "headrace", "up", "--no-spares"]
        self._up = spawn(words, self._log, self._environment, tethered=True)

    def await_up(self) -> None:
        """Wait until all its workers run, then read what comes out."""
        until(self.is_ready, timeout_s=READY_S, what=f"{self.project.name} is up; see {self._log}")
        if not self._reader.is_alive():
            self._reader.start()

    @property
    def said(self) -> str:
        """Return what its `up` has printed."""
        return self._log.read_text()

    def is_ready(self) -> bool:
        """Return whether every worker runs and is ready."""
        states = UpState.read(self._root).workers
        return bool(states) and all(one.state == "ready" for one in states)

    def restarts(self) -> dict[str, int]:
        """Return how often each worker was started again."""
        return {one.name: one.restarts for one in UpState.read(self._root).workers}

    def pids(self) -> dict[str, int]:
        """Return the workers' processes."""
        notes = self.run.ports.glob("*.json")
        return {path.stem: msgspec.json.decode(path.read_bytes())["pid"] for path in notes}

    def send(self, rate: float) -> None:
        """Begin to send records that come next, so many a second."""
        left = self._records[len(self._sent) :]
        self._sender = Sender(RecordProducer(self.kafka), self.run.topic_prefix, left, rate, ahead=0)
        self._sender.start()
        self._sender.go()

    def end_sending(self) -> None:
        """Send no more, and wait until all that was sent has its prediction or its letter."""
        sender = self._sender
        assert sender is not None
        assert sender.unsent, "the records ended before the faults did"
        sender.end()
        sender.join(30)
        assert sender.failure is None
        self._sent = self._records[: len(self._sent) + sender.sent]
        until(lambda: not self.waiting(), timeout_s=90, what=f"predictions of all of {self.project.name}")

    def waiting(self) -> set[str]:
        """Return the events that were sent, not deleted, and of which nothing came yet."""
        gone = {(one.key, one.value) for one in self._deleted}
        names = [one.id for one in self._sent if one.id and one.record not in gone]
        done, slot_of = self._observed.done, self._observed.slot_of
        assert self._reader.failure is None
        return {name for name in names if not done[slot_of[name]]}

    def await_rest(self) -> None:
        """Wait until every group has read and every row stands in the store."""
        rest = Rest(self.kafka, self.run.topic_prefix, self.project.pipeline)

        deadline_s = time.monotonic() + REST_S
        while any(busy := self._busy(rest)):
            assert time.monotonic() < deadline_s, f"{self.project.name} does not come to rest: {busy}"
            time.sleep(0.2)

    def _busy(self, rest: Rest) -> list[object]:
        unarchived = rest.unarchived(self._reader.newest)
        empty = unfilled(self._redis, self.project, PARTITIONS)
        return [rest.lag(), rest.open_transactions(), unarchived, empty]

    def verdict(self) -> Verdict:
        """Let the oracle judge everything that stands in its topics, its lake and its rows of the store."""
        project, run = self.project, self.run
        known = declared(project, run.epoch, run.partitions, run)
        known.learner = None  # none runs
        topics = {name: read_all(self.kafka, run.topic_prefix + name) for name in topics_of(project)}
        scored = project.pipeline.scored.topic
        there = {(one.partition, one.offset) for one in topics[scored]}
        gone = [one for one in self._deleted if (one.partition, one.offset) not in there]
        topics[scored] = sorted([*topics[scored], *gone], key=lambda one: (one.partition, one.offset))
        lost = [Lost(one.topic, one.partition, one.frm, one.to) for one in InputRecord(run.lake).accepted()]
        return judge(
            Dump(
                declared=known, topics=topics, store=self.rows(), models={}, seen=list(self._reader.seen),
                lake=lake(project, run.lake), lost=lost,
            )
        )  # fmt: skip

    def rows(self) -> dict[bytes, dict[bytes, bytes]]:
        """Return its rows of the store."""
        with client(self._redis) as store:
            return {key: store.hgetall(key) for key in self._keys(store)}

    def _keys(self, store: "redis.Redis") -> list[bytes]:
        end = self.project.keyspace.encode()
        return [key for key in store.scan_iter(count=1000) if key.endswith(end)]

    def kill_workers(self) -> None:
        """End every worker as a crash would, and wait until all are back."""
        before = self.pids()
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

        def back() -> bool:
            now = self.pids()
            return now.keys() == before.keys() and not set(now.values()) & set(before.values())

        until(back, timeout_s=READY_S, what=f"the workers of {self.project.name} are back")

    def send_nonsense(self) -> None:
        """Write what no contract and no stage knows to its sources and between its stages."""
        producer = Producer(self.kafka.librdkafka())
        inner = [topic.name for topic in self.project.pipeline.stage_inputs.values()]
        for topic in (*self.project.pipeline.by_topic, *inner, FEATURES_LOG.name):
            for number, value in enumerate(NONSENSE):
                producer.produce(self.run.topic_prefix + topic, value, b"c1", number % PARTITIONS)
        assert producer.flush(20) == 0
        wanted = len(NONSENSE) * len(self.project.pipeline.sources)
        until(lambda: self.letters >= wanted, timeout_s=60, what="a letter of each")

    @property
    def letters(self) -> int:
        """Return how many records were refused."""
        return len(self._observed.dead_letters)

    def delete_rows(self) -> None:
        """Delete its keyspace: every row, and what says of them that they are whole."""
        with client(self._redis) as store:
            assert store.delete(*self._keys(store), f"headrace:{self.project.keyspace}:sentinel") > 1
        full = lambda: not unfilled(self._redis, self.project, PARTITIONS)  # noqa: E731
        until(full, timeout_s=60, what=f"{self.project.name} has filled its rows again")

    def stop_and_lose_input(self) -> None:
        """Stop the whole run, delete what nobody has read, start it, and accept the loss that it stops at."""
        until(self._is_archived, timeout_s=READY_S, what="the archive stands somewhere", every_s=0.5)
        self.stop_up()
        time.sleep(1.0)  # records go on coming
        scored, admin = self.project.pipeline.scored.topic, AdminClient(dict(self.kafka.librdkafka()))
        name = self.run.topic_prefix + scored
        self._deleted = [one for one in read_all(self.kafka, name) if one.partition == 0]
        place = TopicPartition(name, 0, self._deleted[-1].offset + 1)
        admin.delete_records([place])[place].result(20)
        self.begin_up()
        until(lambda: self.said.count("up; Ctrl-C") == 2, timeout_s=READY_S, what="each worker runs or ended")
        assert "E_INPUT_HOLE" in self.said
        words = ["offsets", "accept-loss", "--topic", scored, "--reason", "a test deleted them"]
        done = subprocess.run(
            [sys.executable, "-m", "headrace", *words], env=self._environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        until(self.is_ready, timeout_s=READY_S, what=f"{self.project.name} goes on; see {self._log}")

    def _is_archived(self) -> bool:
        rows = lake(self.project, self.run.lake)[self.project.pipeline.scored.topic]
        return any(partition == 0 for partition, _ in rows)

    def stop_up(self) -> None:
        """End its `up` in order."""
        assert self._up is not None
        self._up.signal(signal.SIGTERM)
        assert self._up.wait(60), f"{self.project.name} stops; see {self._log}"
        assert self._up.exit_code() == 0
        self._up = None

    def close(self) -> None:
        """End everything of it and delete its topics."""
        if self._sender is not None:
            self._sender.end()
        self._reader.stop() if self._reader.is_alive() else None
        if self._up is not None:
            self._up.kill()
            reap(self._up)
        admin = AdminClient(dict(self.kafka.librdkafka()))
        mine = [
            name for name in admin.list_topics(timeout=10).topics if name.startswith(self.run.topic_prefix)
        ]
        for future in admin.delete_topics(mine).values() if mine else ():
            future.result(20)
