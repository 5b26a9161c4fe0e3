"""Two projects beside each other on one Kafka and one Redis: the faults of one leave the other untouched."""

import itertools
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from contracts.connections import KafkaConnection
from contracts.topics import PREDICTIONS
from features.project.running import project_at
from headrace.traffic.form import forms_of
from headrace.traffic.producer import RecordProducer
from headrace.traffic.replay import Replay
from headrace.traffic.sending import outgoing
from headrace.traffic.workloads import Generator
from runtime.project_folder import INSTALLED
from runtime.run import Run
from tests.conftest import _databases
from tests.real_servers import DATABASES, RealServers
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
CHECKOUT = Path(__file__).resolve().parents[2]
EVENTS = 400  # of each project, in each of two parts
GARBAGE = [b"", b"{", b"\x00\xff" * 40, b"[]", secrets.token_bytes(200)]


class Beside:
    """One project with a run of its own: `headrace up` on the servers of the session, and its records."""

    def __init__(self, servers: RealServers, folder: Path, project: Path) -> None:
        self.project = project_at(str(project))
        name = f"{self.project.name}{secrets.token_hex(3)}"
        database = next(_databases) % DATABASES
        self.run = Run.create(
            folder / name, name, redis_db=database, partitions=1, project=self.project.keyspace
        )
        self.log = self.run.home / "up.log"
        self.kafka = KafkaConnection(bootstrap_servers=servers.bootstrap_servers)
        self.environment = {
            **os.environ,
            "HEADRACE_ROOT": str(folder / name),
            "HEADRACE_RUN": str(self.run.home),
            "HEADRACE_PROJECT": str(project),
            "HEADRACE_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "HEADRACE_REDIS_URL": f"{servers.redis_url}/{database}",
        }
        forms = forms_of(self.project.pipeline)
        made = Generator.of(project).records("small", None, forms)
        lead, *others = (outgoing(form, rows, self.run.topic_prefix) for form, rows in made.items())
        self.ids = lead.records.ids()
        self._producer = RecordProducer(self.kafka)
        self._replay = Replay(self._producer, lead, others)

    def up(self, ended: ExitStack) -> None:
        """Start `headrace up`; it ends with the block."""
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "up"],
                stdout=output, stderr=output, env=self.environment, cwd=CHECKOUT,
            )  # fmt: skip
        ended.callback(process.wait, 60)
        ended.callback(process.send_signal, signal.SIGTERM)

    @property
    def pids(self) -> dict[str, int]:
        """Return the workers' processes."""
        files = sorted(self.run.ports.glob("*.json"))
        return {path.stem: msgspec.json.decode(path.read_bytes())["pid"] for path in files}

    def send(self, start: int) -> None:
        """Send a part of the scored records, and what falls due with them."""
        self._replay.rush(start, start + EVENTS, in_flight_max=None)
        self._producer.flush()

    def strike(self) -> None:
        """Kill every worker, and put garbage on every topic that one of them reads."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
        pipeline = self.project.pipeline
        read = [source.records for source in pipeline.sources]
        read += [*pipeline.stage_inputs.values(), pipeline.features_log]
        producer = Producer(self.kafka.librdkafka())
        for topic, value in itertools.product(read, GARBAGE):
            producer.produce(topic.full_name(self.run.topic_prefix), value, b"k")
        assert producer.flush(20.0) == 0

    def predicted(self) -> Counter[str]:
        """Return how often each event was predicted."""
        values = self._committed(PREDICTIONS.full_name(self.run.topic_prefix))
        return Counter(msgspec.json.decode(value)["event_id"] for value in values)

    def refused(self) -> int:
        """Return how many records of its sources were refused."""
        names = [
            source.dead_letters.full_name(self.run.topic_prefix) for source in self.project.pipeline.sources
        ]
        return sum(len(self._committed(name)) for name in names)

    def _committed(self, topic: str) -> list[bytes]:
        consumer = Consumer(
            {
                **self.kafka.librdkafka(), "group.id": "count", "isolation.level": "read_committed",
                "enable.partition.eof": True, "fetch.wait.max.ms": 10,
            }
        )  # fmt: skip
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found = list[bytes]()
        while (message := consumer.poll(10.0)) is not None and message.error() is None:
            found.append(message.value() or b"")
        consumer.close()
        return found


@pytest.fixture
def both(servers: RealServers, tmp_path: Path) -> Iterator[tuple[Beside, Beside]]:
    """Card payments and logins, up."""
    with ExitStack() as ended:
        found = (
            Beside(servers, tmp_path, INSTALLED),
            Beside(servers, tmp_path, CHECKOUT / "examples" / "logins"),
        )
        for one in found:
            one.up(ended)
        for one in found:
            until(lambda: "up; Ctrl-C" in one.log.read_text(), timeout_s=150, what=f"{one.run.name} is up")  # noqa: B023
        yield found


def test_the_faults_of_one_leave_the_other_untouched(both: tuple[Beside, Beside]) -> None:
    for part, (faulty, other) in enumerate((both, both[::-1])):
        before, start = other.pids, part * EVENTS
        letters = other.refused()
        for one in both:
            one.send(start)
        faulty.strike()
        for one in both:
            due = dict.fromkeys(one.ids[: start + EVENTS], 1)
            until(
                lambda: len(one.predicted()) >= len(due),  # noqa: B023
                timeout_s=90, every_s=0.5, what=f"{one.run.name} has predicted all: {one.log.read_text()}",
            )  # fmt: skip
            assert one.predicted() == due
        assert other.pids == before, "no worker of the other began again"
        assert other.refused() == letters
        assert set(faulty.pids.values()).isdisjoint(before.values())
        until(lambda: faulty.refused() >= len(GARBAGE), timeout_s=30, what="garbage is refused")  # noqa: B023
