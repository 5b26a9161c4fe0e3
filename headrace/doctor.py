"""What is here, what is missing and what to do next: one finding a thing that must be right.

A finding is `ok`, `note` (works, but know this) or `wrong`. A check says what is wrong by raising an error of
ours, so that its words and its next step are those a worker would end with. What was never started here is
not wrong: its findings are notes.
"""

import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from contracts.errors import ClusterError, ConfigError, HeadraceError, StateError
from features.project.running import project_of_process
from headrace import guarding, topics_admin
from headrace.deployment import Up
from headrace.health_watch import health_words
from headrace.lost_input import LostInput
from headrace.processes import alive_pid
from headrace.servers import java
from headrace.servers.redis import find as find_redis_server
from headrace.up_state import UpState
from headrace.worker_health import read_healths
from inference.scorer.settings import ScorerSettings
from runtime import environment
from runtime.guards import info_fields
from runtime.input_record import accept_step
from runtime.kafka_clients import new_admin
from runtime.redis_socket import RedisSocket, StoreDown, text_of
from runtime.run import FOLDER, Run
from streams.gate.settings import GateSettings
from streams.stage.settings import StageSettings

State = Literal["ok", "note", "wrong"]
REDIS_ANSWER_S = 2.0
CHECKOUT = Path(__file__).resolve().parents[1]
INTERNAL = "E_INTERNAL"
PYTHONS = ((3, 11), (3, 12))
TRACES = {  # an error that says something was never started, and what lies in `.headrace/` once it was
    "E_RUN_NONE": ("current", "runs"),
    "E_SERVERS_NONE": ("current", "runs", "servers", "servers.json"),
}


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
        "guards": _guards,
        "input": _input,
        "workers": _workers,
        "model": _model,
    }
    with ThreadPoolExecutor(max_workers=1) as alone:  # whatever a check raises is kept, and asked for
        return [_finding(name, alone.submit(check)) for name, check in checks.items()]


class Note(HeadraceError):
    """Something to know that stops nothing."""


def _finding(name: str, check: "Future[str]") -> Finding:
    error = check.exception()
    if error is None:
        return Finding(check=name, state="ok", what=check.result())
    if isinstance(error, Note):
        return Finding(check=name, state="note", what=error.what, next_step=error.next_step)
    if isinstance(error, HeadraceError) and _was_never_started(error.code):
        return Finding(check=name, state="note", what="not started yet", next_step="`headrace up` starts it")
    if isinstance(error, HeadraceError):
        what = f"{error.code}: {error.what}" + (f" ({error.where})" if error.where else "")
        return Finding(check=name, state="wrong", what=what, next_step=error.next_step)
    return Finding(
        check=name, state="wrong", what=f"{INTERNAL}: the check itself failed: {error!r}",
        next_step="report it, with the version and how it was installed",
    )  # fmt: skip


def _was_never_started(code: str) -> bool:
    """Tell whether an error says that something is missing which this folder never had."""
    folder = environment.root() / FOLDER
    return code in TRACES and not any(os.path.lexists(folder / name) for name in TRACES[code])


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
    if not generate.is_current(folder):
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
        admin = new_admin(connection, "doctor")
        brokers = admin.list_topics(timeout=5.0).brokers
    except KafkaException as error:
        raise ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0]}", connection.bootstrap_servers,
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip
    return f"{connection.bootstrap_servers}, {len(brokers)} broker(s)"


def _sessions() -> str:
    connection = environment.kafka_connection()
    admin = new_admin(connection, "doctor")
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
        with RedisSocket(to, REDIS_ANSWER_S, REDIS_ANSWER_S) as line:
            keys, about = line.command("DBSIZE"), info_fields(text_of(line.command("INFO")))
    except StoreDown as error:
        raise ClusterError(
            "E_REDIS_UNREACHABLE", f"Redis does not answer: {error.what}", repr(to),
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        raise ClusterError(
            "E_REDIS_EVICTS", f"Redis may evict rows ({about['maxmemory_policy']})", repr(to),
            "set maxmemory-policy noeviction: an evicted row looks like a key without a past",
        )  # fmt: skip
    return f"{to!r}, version {about.get('redis_version', '?')}, {keys} rows"


def _guards() -> str:
    """Ask what workers ask of their servers."""
    found = guarding.findings(environment.current_run())
    for error, refuse in found:
        if refuse:
            raise error
    if found:
        raise Note(
            "N_GUARDS", "; ".join(str(error) for error, _ in found), "", "docs/runbook.md has each code"
        )
    return "topics, brokers, clocks and the store are as they should be"


def _input() -> str:
    """Say what readers did not get."""
    lost = LostInput(environment.kafka_connection(), environment.current_run()).show()
    if lost.open:
        hole = lost.open[0]
        raise StateError("E_INPUT_HOLE", hole.words, "", accept_step(hole.topic, hole.partition))
    if lost.accepted:
        what = f"{len(lost.accepted)} holes are accepted"
        raise Note("N_HOLES", what, "", "`headrace offsets show` says which")
    return "no reader met a hole"


def _workers() -> str:
    """Ask every worker of the run for its health, and a running `up` for those that do not run."""
    run = environment.current_run()
    healths = [health for health in read_healths(run) if alive_pid(_pid_of(run, health.worker))]
    waiting = _waiting_workers(run)
    wrong = [health_words(health) for health in healths if health.status not in ("ok", "stale")]
    if wrong or waiting:
        raise ClusterError(
            "E_WORKER_HEALTH", "\n".join([*wrong, *waiting]), str(run.logs),
            "read its log there; `up` starts again what ended; end one that is stuck with `kill -9`",
        )  # fmt: skip
    if not healths:
        raise Note("N_WORKERS", "no worker of this run is running here", "", "run `headrace up`")
    stale = [health_words(health) for health in healths if health.status == "stale"]
    if stale:
        raise Note("N_WORKER_STALE", "; ".join(stale), "", "put right what cannot be read; nothing stops")
    return ", ".join(health.worker for health in healths)


def _pid_of(run: Run, worker: str) -> int:
    try:
        return int(msgspec.json.decode((run.ports / f"{worker}.json").read_bytes())["pid"])
    except (FileNotFoundError, msgspec.DecodeError):
        return 0  # it ends or starts at this moment


def _waiting_workers(run: Run) -> list[str]:
    """Return what a running `up` of this run says of workers that are not ready."""
    root = environment.root()
    up = Up.running(root)
    if up is None or Path(up.home) != run.home:
        return []
    return UpState(workers=UpState.read(root).workers).wrong


def _model() -> str:
    """Put the champion through what the scorer puts it through."""
    from inference.models.manifest import read_champion
    from inference.release.champion import definitions_of, load_champion

    run: Run = environment.current_run()
    champion = read_champion(run.models)
    if champion is None:
        raise Note("N_MODEL", "no champion: rules alone decide", "", "run `headrace train --promote`")
    load_champion(run.models, champion, definitions_of(project_of_process()))
    return f"{champion.name} {champion.version}"
