"""Puts a worker's guard together from the environment: every command that starts a worker calls it first."""

import getpass
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from contracts import store_sentinel
from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import ClusterError, StateError
from features.project.running import project_of_process
from runtime import environment, guards
from runtime.guards import Finding, info_fields
from runtime.kafka_guard import Guard, Guarded
from runtime.redis_socket import RedisSocket, StoreDown, text_of
from runtime.run import Run
from runtime.settings import GuardSettings
from runtime.store_owner import Owner, ask_owner, owner_key

ANSWER_S = 2.0
USE_THE_STORE = ("stream", "score", "serve")


def begin(worker: str, run: Run, registry: CollectorRegistry) -> Guard:
    """Refuse servers that are not as they must be, then watch them from a thread; return the guard.

    Args:
        worker: as `runtime.guards.uses` calls it.

    Raises:
        Stop: E_CLUSTER_UNREACHABLE (75).
        ClusterError, StateError: of what must be refused; see docs/runbook.md.
    """
    settings = environment.settings_of(GuardSettings)
    guarded = _guarded(worker, run, environment.kafka_connection())
    guard = Guard(guarded, settings, registry, store_question(run, settings, worker))
    guard.begin()
    guard.start()
    return guard


def findings(run: Run) -> list[Finding]:
    """Return what of all topics, brokers, clocks and the store is not as it should be, for `doctor`.

    Raises:
        ClusterError: E_KAFKA_UNREACHABLE.
    """
    settings, kafka = environment.settings_of(GuardSettings), environment.kafka_connection()
    guarded = _guarded("doctor", run, kafka)
    guard = Guard(guarded, settings, CollectorRegistry(), store_question(run, settings, "serve"))
    try:
        return guard.look(thoroughly=True)
    except KafkaException as error:
        raise ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0]}", kafka.bootstrap_servers,
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip


def _guarded(worker: str, run: Run, kafka: KafkaConnection) -> Guarded:
    pipeline = project_of_process().pipeline
    return Guarded(pipeline, worker, kafka, run.lake, run.topic_prefix, run.partitions)


def store_question(run: Run, settings: GuardSettings, worker: str) -> Callable[[], Iterable[Finding]]:
    """Return what asks a worker's Redis; it yields nothing while Redis does not answer."""
    if worker.partition("-")[0] not in USE_THE_STORE:
        return lambda: ()
    claims = worker.startswith("stream-")  # readers look only: who writes owns
    return partial(
        _ask_store, environment.redis_connection(run), owner_of(run), run.project, settings, claims
    )


def owner_of(run: Run) -> Owner:
    """Return who a run is to a store that several runs may reach."""
    return Owner(epoch=run.epoch, run=run.topic_prefix)


def ask_store(to: RedisConnection, *words: str | bytes) -> Any:
    """Send one command to Redis and return its answer.

    Raises:
        ClusterError: E_REDIS_UNREACHABLE.
    """
    try:
        with RedisSocket(to, ANSWER_S, ANSWER_S) as connection:
            return connection.command(*words)
    except StoreDown as error:
        raise ClusterError(
            "E_REDIS_UNREACHABLE", f"Redis does not answer: {error.what}", repr(to),
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip


def take_over(to: RedisConnection, project: str, owner: Owner, why: str) -> None:
    """Make a run the owner of a keyspace; nobody's rows are said to be whole there until its stages say so.

    Raises:
        StateError: E_STORE_NEWER, the rows are of a newer run, beside which an older one's are refused.
        ClusterError: E_REDIS_UNREACHABLE.
    """
    key = owner_key(project)
    said = ask_store(to, "GET", key)
    other = None if said is None else msgspec.json.decode(said, type=Owner)
    if other is not None and other.epoch > owner.epoch:
        raise StateError(
            "E_STORE_NEWER", f"these rows belong to {other.words}, which is newer than {owner.words}", key,
            "give this run a database of its own (HEADRACE_REDIS_URL)",
        )  # fmt: skip
    note = {
        "at_ms": time.time_ns() // 1_000_000, "who": getpass.getuser(), "why": why,
        "from": None if other is None else other.words, "to": owner.words,
    }  # fmt: skip
    ask_store(to, "RPUSH", f"{key}:history", msgspec.json.encode(note))
    ask_store(to, "SET", key, msgspec.json.encode(owner))
    ask_store(to, "DEL", store_sentinel.key(project))


def _ask_store(
    to: RedisConnection, owner: Owner, project: str, settings: GuardSettings, claims: bool
) -> list[Finding]:
    try:
        with RedisSocket(to, ANSWER_S, ANSWER_S) as connection:
            about = info_fields(text_of(connection.command("INFO")))
            findings = list(guards.store(about, settings, repr(to)))
            if not any(finding.refuse for finding in findings):
                findings += ask_owner(connection.command, owner, project, claims=claims)
            return findings
    except StoreDown:  # away: workers go on without it and say so
        return []
