"""What is here, what is missing and what to do next: one finding a thing that must be right.

A finding is `ok`, `note` (works, but know this) or `wrong`. A check says what is wrong by raising an error of
ours, so that its words and its next step are those a worker would end with.
"""

import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from contracts.errors import ClusterError, ConfigError, HeadraceError
from headrace import environment, topics_admin
from headrace.processes import alive_pid
from headrace.run import Run
from headrace.servers import java
from headrace.servers.redis import find as find_redis_server
from inference.scorer.settings import ScorerSettings
from streams.gate.settings import GateSettings
from streams.stage.settings import StageSettings

State = Literal["ok", "note", "wrong"]
CHECKOUT = Path(__file__).resolve().parents[1]
PYTHONS = ((3, 11), (3, 12))


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found."""

    check: str
    state: State
    what: str
    next_step: str = ""


def examine() -> list[Finding]:
    """Run every check; one that fails stops no other."""
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "packages": _packages,
        "settings": _settings,
        "java": _java,
        "redis-server": find_redis_server,
        "contracts": _contracts,
        "run": lambda: str(environment.current_run().home),
        "kafka": _kafka,
        "sessions": _sessions,
        "topics": _topics,
        "redis": _redis,
        "workers": _workers,
        "model": _model,
    }
    return [_finding(name, check) for name, check in checks.items()]


class Note(HeadraceError):
    """Something to know that stops nothing."""


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(check=name, state="ok", what=check())
    except Note as note:
        return Finding(check=name, state="note", what=note.what, next_step=note.next_step)
    except HeadraceError as error:
        what = f"{error.code}: {error.what}" + (f" ({error.where})" if error.where else "")
        return Finding(check=name, state="wrong", what=what, next_step=error.next_step)


def _python() -> str:
    if sys.version_info[:2] not in PYTHONS:
        raise ConfigError(
            "E_PYTHON", f"Python {sys.version.split()[0]} is not tried", "", "use CPython 3.11 or 3.12"
        )
    return sys.version.split()[0]


def _packages() -> str:
    """Compare what is installed with the lock."""
    lock = CHECKOUT / "requirements.lock"
    if not lock.exists():
        raise Note("N_LOCK", "no requirements.lock beside this installation", "", "")
    pinned: dict[str, set[str]] = {}
    for name, wanted in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), re.MULTILINE):
        pinned.setdefault(name, set()).add(wanted)  # several: one a Python version or platform
    different = [
        f"{name} {installed} (lock: {' or '.join(sorted(wanted))})"
        for name, wanted in pinned.items()
        if (installed := _installed(name)) is not None and installed not in wanted
    ]
    if different:
        raise Note("N_PACKAGES", "not as the lock says: " + ", ".join(different), "", "run `make setup`")
    return f"{len(pinned)} as locked"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _settings() -> str:
    environment.check_names()
    return "no unknown HEADRACE_ variable"


def _java() -> str:
    path = java.find()
    return f"{path}, version {java.major_version(path)}"


def _contracts() -> str:
    from contracts import generate

    folder = Path(generate.__file__).parent
    if generate.source(folder) != (folder / "events.py").read_text():
        raise ConfigError(
            "E_CONTRACTS_STALE",
            "events.py is not what the contracts say",
            str(folder),
            "run `make contracts`",
        )
    return ", ".join(path.name for path in generate.contract_files(folder))


def _kafka() -> str:
    connection = environment.kafka_connection()
    try:
        admin = AdminClient({**connection.librdkafka(), "log_level": 0})  # type: ignore[dict-item]
        brokers = admin.list_topics(timeout=5.0).brokers
    except KafkaException as error:
        raise ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0]}", connection.bootstrap_servers,
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip
    return f"{connection.bootstrap_servers}, {len(brokers)} broker(s)"


def _sessions() -> str:
    connection = environment.kafka_connection()
    admin = AdminClient({**connection.librdkafka(), "log_level": 0})  # type: ignore[dict-item]
    shortest_ms, ours_ms = _shortest_session_ms(admin), _session_ms()
    if shortest_ms > ours_ms:
        raise ClusterError(
            "E_KAFKA_SESSION", f"workers ask for sessions of {ours_ms} ms, brokers take {shortest_ms}",
            connection.bootstrap_servers,
            "lower group.min.session.timeout.ms, or raise HEADRACE_GATE_SESSION_TIMEOUT_MS,"
            " HEADRACE_STAGE_SESSION_TIMEOUT_S and HEADRACE_SCORER_SESSION_TIMEOUT_MS",
        )  # fmt: skip
    return f"of {ours_ms} ms, the brokers take {shortest_ms} and more"


def _shortest_session_ms(admin: AdminClient) -> int:
    """Return the shortest session that a broker takes, 0 where it does not say (a managed one may not)."""
    try:
        broker = next(iter(admin.list_topics(timeout=5.0).brokers))
        resource = ConfigResource(ResourceType.BROKER, str(broker))
        settings = admin.describe_configs([resource])[resource].result(5.0)
    except KafkaException:
        return 0
    found = settings.get("group.min.session.timeout.ms")
    return int(found.value) if found and found.value else 0


def _session_ms() -> int:
    """Return the shortest session that any worker would ask for."""
    gate = environment.settings_of(GateSettings).session_timeout_ms
    scorer = environment.settings_of(ScorerSettings).session_timeout_ms
    stage = environment.settings_of(StageSettings, data_folder=Path()).session_timeout_s
    return min(gate, scorer, round(stage * 1000))


def _topics() -> str:
    run = environment.current_run()
    topics_admin.check(environment.kafka_connection(), run.topic_prefix, run.partitions)
    return f"as the table says, prefix {run.topic_prefix!r}"


def _redis() -> str:
    to = environment.redis_connection(environment.current_run())
    try:
        with redis.Redis(
            host=to.host, port=to.port, db=to.db, username=to.username or None, password=to.password or None,
            ssl=to.tls, ssl_ca_certs=to.tls_ca_location or None, socket_timeout=2.0,
        ) as client:  # fmt: skip
            keys, about = client.dbsize(), client.info()
    except redis.RedisError as error:
        raise ClusterError(
            "E_REDIS_UNREACHABLE", f"Redis does not answer: {error}", repr(to),
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        raise ClusterError(
            "E_REDIS_EVICTS", f"Redis may evict rows ({about['maxmemory_policy']})", repr(to),
            "set maxmemory-policy noeviction: an evicted row looks like a customer without a past",
        )  # fmt: skip
    return f"{to!r}, version {about['redis_version']}, {keys} rows"


def _workers() -> str:
    run = environment.current_run()
    alive = sorted(
        path.stem
        for path in run.ports.glob("*.json")
        if alive_pid(msgspec.json.decode(path.read_bytes())["pid"])
    )
    if not alive:
        raise Note("N_WORKERS", "no worker of this run is running here", "", "run `headrace up`")
    return ", ".join(alive)


def _model() -> str:
    """Put the champion through what the scorer puts it through."""
    from inference.models.manifest import read_champion
    from inference.release.champion import load_champion, our_definitions

    run: Run = environment.current_run()
    champion = read_champion(run.models)
    if champion is None:
        raise Note("N_MODEL", "no champion: rules alone decide", "", "run `headrace train --promote`")
    load_champion(run.models, champion, our_definitions())
    return f"{champion.name} {champion.version}"
