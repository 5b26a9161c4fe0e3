"""Asks Kafka and Redis what `runtime.guards` wants to know: at a worker's start, and then every few seconds.

The start asks little, since others wait for the worker: are the topics those that the run knows, with
partitions enough, and is the store ours? All else is asked at once from a thread, which ends the worker when
something must be refused. A server that does not answer is asked again: workers wait for it by themselves.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.connections import KafkaConnection
from contracts.crash_points import reach
from contracts.errors import HeadraceError, Stop
from contracts.pipeline import Pipeline
from contracts.topics import CLOCK, Topic
from runtime import ending, guards
from runtime.guards import Finding, TopicState
from runtime.input_record import InputRecord
from runtime.kafka_clients import new_admin, new_producer
from runtime.kafka_errors import meaning_of
from runtime.settings import GuardSettings

ANSWER_S = 10.0
CLOCK_ANSWER_S = 5.0
CLOCK_PRODUCER = {  # without idempotence: its first record would wait for a producer's number
    "enable.idempotence": False, "linger.ms": 0, "message.timeout.ms": int(CLOCK_ANSWER_S * 1000),
}  # fmt: skip
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"  # sixteen zero bytes: what brokers say that give topics no ids
log = structlog.get_logger("headrace.guard")

AskStore = Callable[[], Iterable[Finding]]


class Guarded(NamedTuple):
    """What a worker's guard watches over: `worker` as `guards.uses` calls it."""

    pipeline: Pipeline
    worker: str
    kafka: KafkaConnection
    lake: Path
    topic_prefix: str
    partitions: int


class GuardMetrics:
    """What a guard counts, on a registry handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.looks = Counter(
            "headrace_guard_looks_total", "Times the servers were asked", ["answered"], registry=registry
        )
        self.findings = Gauge(
            "headrace_guard_findings", "Things that are not as they should be", ["code"], registry=registry
        )
        self.clock_ahead_s = Gauge(
            "headrace_guard_clock_ahead_seconds", "This machine's clock ahead of the broker's",
            registry=registry,
        )  # fmt: skip


class KafkaView:
    """What a cluster says of topics, brokers and the time.

    Raises KafkaException from every method where the cluster does not answer.
    """

    def __init__(self, kafka: KafkaConnection) -> None:
        self._kafka = kafka
        self._admin = new_admin(kafka, "guard")
        self._producer: Producer | None = None

    def topics(self, names: Sequence[str]) -> dict[str, TopicState]:
        """Return the topics of these full names that are there."""
        if not names:
            return {}
        asked = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=ANSWER_S)
        found = {}
        for name, future in asked.items():
            try:
                about = _answer(future)
            except KafkaException as error:
                if meaning_of(error) != "missing":
                    raise
                continue
            copies = min((len(each.replicas) for each in about.partitions), default=0)
            known = str(about.topic_id) if about.topic_id is not None else NO_ID
            found[name] = TopicState("" if known == NO_ID else known, len(about.partitions), copies)
        return found

    def settings(self, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Return the settings of the topics of these full names."""
        return {name: self._settings(ResourceType.TOPIC, name) for name in names}

    def brokers(self) -> list[int]:
        """Return the ids of the brokers."""
        return sorted(self._admin.list_topics(timeout=ANSWER_S).brokers)

    def offsets_kept_minutes(self) -> int | None:
        """Return how long a group's offsets are kept; None where the broker does not say."""
        try:
            found = self._settings(ResourceType.BROKER, str(self.brokers()[0]))
        except KafkaException as error:
            if meaning_of(error) == "forbidden":
                return None
            raise
        value = found.get("offsets.retention.minutes")
        return int(value) if value else None

    def clock_ahead_s(self, topic: str) -> float | None:
        """Return how far our clock is ahead of the broker's at least; None where it could not be asked.

        A record is sent to a topic whose records are stamped by the broker, which is in its answer. The stamp
        was made between sending and answer: a clock that shows a time in between is right.
        """
        if self._producer is None:
            self._producer = new_producer(self._kafka, "guard", CLOCK_PRODUCER)
        stamps: list[int] = []

        def delivered(error: KafkaError | None, message: Any) -> None:
            if error is None:
                stamps.append(message.timestamp()[1])

        before_s, began_s = time.time(), time.monotonic()
        self._producer.produce(topic, b"", on_delivery=delivered)
        self._producer.flush(CLOCK_ANSWER_S)
        took_s = time.monotonic() - began_s
        if not stamps:
            return None
        broker_s = stamps[0] / 1000
        return max(0.0, before_s - broker_s) + min(0.0, before_s + took_s - broker_s)

    def _settings(self, kind: ResourceType, name: str) -> dict[str, str | None]:
        resource = ConfigResource(kind, name)
        found = _answer(self._admin.describe_configs([resource])[resource])
        return {key: entry.value for key, entry in found.items()}


class Guard:
    """Watches over one worker's servers.

    Args:
        ask_store: yields what is wrong with the online store, for workers that use it.
    """

    def __init__(
        self, guarded: Guarded, settings: GuardSettings, registry: CollectorRegistry,
        ask_store: AskStore = lambda: (),
    ) -> None:  # fmt: skip
        self._guarded, self._settings, self._ask_store = guarded, settings, ask_store
        self._topics = topics_of(guarded.pipeline, guarded.worker, guarded.partitions)
        self._record = InputRecord(guarded.lake)
        self._view = KafkaView(guarded.kafka)
        self._metrics = GuardMetrics(registry)
        self._told: set[tuple[str, str, str]] = set()
        self._counted: dict[bool, set[str]] = {False: set(), True: set()}
        self._thoroughly_s = 0.0

    def begin(self) -> None:
        """Ask what must hold before the worker reads anything, and keep the ids of topics that are new.

        Raises:
            Stop: E_CLUSTER_UNREACHABLE (75), Kafka does not answer: it may be restarting.
            ClusterError, StateError: of what must be refused.
        """
        reach("guard.begin")
        try:
            found = self._found()
        except KafkaException as error:
            servers = self._guarded.kafka.bootstrap_servers
            raise Stop(75, "E_CLUSTER_UNREACHABLE", str(error.args[0]), servers) from error
        self._refuse(self._of_topics(found))
        self._record.meet({name: state.id for name, state in found.items()})
        self._refuse(list(self._ask_store()))

    def start(self) -> None:
        """Look every few seconds from a thread of its own; what must be refused ends the process."""
        threading.Thread(target=self._run, name="guard", daemon=True).start()

    def look(self, *, thoroughly: bool) -> list[Finding]:
        """Return what is not as it should be now.

        Raises:
            KafkaException: Kafka does not answer.
        """
        found = self._found()
        findings = [*self._of_topics(found), *self._ask_store()]
        return findings + (self._thorough(found) if thoroughly else [])

    def _run(self) -> None:
        while True:
            now_s = time.monotonic()
            thoroughly = now_s >= self._thoroughly_s
            reach("guard.look")
            try:
                self._refuse(self.look(thoroughly=False))
                if thoroughly:  # a managed cluster may refuse to say as much
                    self._thoroughly_s = now_s + self._settings.look_thoroughly_s
                    self._refuse(self.look(thoroughly=True), thoroughly=True)
                self._metrics.looks.labels("yes").inc()
            except KafkaException:  # away, or slow: whoever needs it tells
                self._metrics.looks.labels("no").inc()
            except HeadraceError as error:
                ending.end(error)
            time.sleep(self._settings.look_s)

    def _found(self) -> dict[str, TopicState]:
        """Return our topics that are there, by name without prefix."""
        prefix = self._guarded.topic_prefix
        found = self._view.topics([topic.full_name(prefix) for topic in self._topics])
        return {name.removeprefix(prefix): state for name, state in found.items()}

    def _of_topics(self, found: dict[str, TopicState]) -> list[Finding]:
        kept, lake = self._record.topics(), str(self._guarded.lake)
        return list(guards.topics_as_kept(self._topics, found, kept, lake))

    def _thorough(self, found: dict[str, TopicState]) -> list[Finding]:
        prefix, settings = self._guarded.topic_prefix, self._settings
        names = [topic.full_name(prefix) for topic in self._topics if topic.name in found]
        have = {name.removeprefix(prefix): each for name, each in self._view.settings(names).items()}
        insync = {name: int(each.get("min.insync.replicas") or 1) for name, each in have.items()}
        wanted = guards.wanted_replication(settings, len(self._view.brokers()))
        findings = [
            *guards.topic_settings(self._topics, have, settings.on_retention),
            *guards.replication(found, insync, wanted, settings.on_replication),
            *guards.offsets_kept(self._view.offsets_kept_minutes(), settings),
        ]
        ahead_s = self._view.clock_ahead_s(CLOCK.full_name(prefix))
        if ahead_s is not None:
            self._metrics.clock_ahead_s.set(ahead_s)
            findings += guards.clocks(ahead_s, settings)
        return findings

    def _refuse(self, findings: Iterable[Finding], *, thoroughly: bool = False) -> None:
        """Tell what is new, count all, and raise the first that must be refused."""
        findings = list(findings)
        self._counted[thoroughly] |= {finding.error.code for finding in findings}
        for code in self._counted[thoroughly] - (set() if thoroughly else self._counted[True]):
            self._metrics.findings.labels(code).set(sum(each.error.code == code for each in findings))
        for error, refuse in findings:
            if refuse:
                raise error
            said = (error.code, error.where, "" if error.code == "E_CLOCK_APART" else error.what)
            if said not in self._told:
                self._told.add(said)
                log.warning("guard", code=error.code, what=str(error), worker=self._guarded.worker)


def _answer(future: "Future[Any]") -> Any:
    """Return what a cluster answered.

    Raises:
        KafkaException: it refused, or did not answer in time.
    """
    try:
        return future.result(ANSWER_S)
    except FutureTimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None


def topics_of(pipeline: Pipeline, worker: str, partitions: int) -> list[Topic]:
    """Return the topics that a worker reads or writes, with the run's number of partitions."""
    used = {topic.name for topic in guards.uses(pipeline, worker)}
    return [topic for topic in pipeline.table(partitions) if topic.name in used]
