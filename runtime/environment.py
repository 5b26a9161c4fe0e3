"""The rooms' settings, read from the environment: one rule for the names, and no name that means nothing.

`ArchiveSettings.rows_a_file` is `HEADRACE_ARCHIVE_ROWS_A_FILE`: the class's name less `Settings`, then the
field's. What all rooms share (servers, run, log level) has a name of its own in `SHARED`.
"""

import difflib
import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from contracts.connections import LOOPBACK, KafkaConnection, RedisConnection
from contracts.errors import ConfigError
from runtime.project_folder import ENVIRONMENT
from runtime.run import FOLDER, Run
from runtime.run_project import project_of_run

PREFIX = "HEADRACE_"
SHARED = {
    "ROOT": "folder that holds .headrace/ (default: the checkout)",
    "PROJECT": "folder of the project (default: the run's, the current folder's, or the installed one)",
    "KEY_FILE": "secrets of personal keys (default: personal_keys.json in the run's home)",
    "RUN": "the run, by name or home folder (default: the current one, `headrace runs list`)",
    "CACHE": "folder of downloaded jars (default: .headrace/cache)",
    "BOOTSTRAP_SERVERS": "Kafka elsewhere (default: the local server)",
    "REDIS_URL": "Redis elsewhere, redis[s]://[user:password@]host:port/db (default: the local server)",
    "REDIS_TLS_CA_LOCATION": "certificate authority of Redis",
    "KAFKA_SECURITY_PROTOCOL": "plaintext, ssl, sasl_plaintext or sasl_ssl",
    "KAFKA_SASL_MECHANISM": "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 ...",
    "KAFKA_SASL_USERNAME": "user of Kafka",
    "KAFKA_SASL_PASSWORD": "password of that user",
    "KAFKA_SSL_CA_LOCATION": "certificate authority of Kafka",
    "ALLOW_PLAINTEXT": "yes: let unencrypted connections leave this machine",
    "MODELS_SECRET": "secret that signs releases of models; scorers refuse any other (default: not signed)",
    "MODELS_MLFLOW": "MLflow as the registry: http[s]://host:port or sqlite:///path (default: the folder)",
    "LOG_LEVEL": "debug, info, warning or error",
    "METRICS_HOST": "address the metrics listen on (default: 127.0.0.1)",
    "METRICS_PORT": "port the metrics listen on, for one worker a host (default: a free one)",
    "STANDBY": "a worker waits for its turn on its standard input; its supervisor sets it",
    "END_NOTE": "file in which a worker writes why it ended; its supervisor sets it",
    "WORKER": "name of this process among those of its kind (default: the kind's)",
    "CRASH_AT": "end the process or raise at a named point (tests, in a checkout: contracts/crash_points.py)",
    "PLANTED_FAULT": "make the service wrong on purpose (tests of the oracle, in a checkout)",
    "PORTS": "ports for local servers, as 20000-29999",
    "JAVA": "java to run Kafka with",
    "REDIS_SERVER": "redis-server to run",
    "MAVEN_REPOSITORY": "mirror of Maven Central",
}
RENAMED = {"GATE_": "RELEASE_GATE_"}  # a release's gates; those of the gate's worker kept the name
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
FOR_ALL = ("log_level", "metrics_port")  # may be set once for every worker
SECRETS = ("password", "secret", "token")
ROOMS = ("runtime", "streams", "inference")  # the rooms with processes, and so with settings

T = TypeVar("T", bound=msgspec.Struct)


def root() -> Path:
    """Return the folder that holds `.headrace/`: HEADRACE_ROOT, the checkout, or where we stand."""
    named = os.environ.get("HEADRACE_ROOT")
    checkout = Path(__file__).resolve().parents[1]
    return Path(named) if named else checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def cache() -> Path:
    """Return the folder of downloaded jars."""
    return Path(os.environ.get("HEADRACE_CACHE") or root() / FOLDER / "cache")


def current_run() -> Run:
    """Return the run of HEADRACE_RUN, a name or a home folder, or the current one.

    Where a project was chosen that the current run is not of, the current one is the project's newest.
    """
    named = os.environ.get(f"{PREFIX}RUN")
    if named:
        return Run.named(root(), named)
    run = _of_chosen_project(Run.current(root()))
    _say_which(run.name, len(Run.names(root())))
    return run


def run_home() -> Path | None:
    """Return the home of the run that a command acts on, None where there is none or it cannot be read."""
    named, current = os.environ.get(f"{PREFIX}RUN"), root() / FOLDER / "current"
    if not named:
        return current.resolve() if current.exists() else None
    homes = (Path(named), root() / FOLDER / "runs" / named)
    return next((home for home in homes if (home / "run.json").exists()), None)


def _of_chosen_project(current: Run) -> Run:
    """Return the current run, or the newest one of the project that was chosen where that is another's.

    Raises:
        ConfigError: E_RUN_NONE, the project has had none yet.
    """
    chosen = os.environ.get(ENVIRONMENT)
    if not chosen or _is_of(current, Path(chosen)):
        return current
    runs = [Run.named(root(), name) for name in Run.names(root())]
    own = [run for run in runs if _is_of(run, Path(chosen))]
    if not own:
        raise ConfigError(
            "E_RUN_NONE", f"the current run, {current.name}, is another project's, and this one has had none",
            chosen, "run `headrace up` or `headrace demo` for it first, or name its run with --run",
        )  # fmt: skip
    return max(own, key=lambda run: run.epoch)


def _is_of(run: Run, folder: Path) -> bool:
    """Return whether a run is of the project of a folder, or nobody has said yet of which."""
    known = project_of_run(run.home)
    return known is None or Path(known.folder).resolve() == folder.resolve()


@functools.cache  # once a process
def _say_which(name: str, runs: int) -> None:
    """Say on stderr which run a command acts on, where there are several and none was named."""
    if runs > 1:
        which = f"run {name} (of {runs}; `headrace runs list`, or name one with --run)"
        sys.stderr.write(which + "\n")


def kafka_connection() -> KafkaConnection:
    """Return the connection to Kafka: outside servers when they are named, else the local one.

    Raises:
        ConfigError: E_CONFIG_PLAINTEXT; E_SERVERS_NONE, no server is named and none runs here;
            E_CONFIG_SASL, mechanism and protocol do not go together; E_CONFIG_FILE.
    """
    named = {
        field.name: os.environ[f"{PREFIX}KAFKA_{field.name.upper()}"]
        for field in msgspec.structs.fields(KafkaConnection)
        if f"{PREFIX}KAFKA_{field.name.upper()}" in os.environ
    }
    servers = os.environ.get("HEADRACE_BOOTSTRAP_SERVERS") or _local("bootstrap_servers")
    connection: KafkaConnection = _convert(
        {**named, "bootstrap_servers": servers}, KafkaConnection, "HEADRACE_KAFKA_*"
    )
    _check_sasl(connection)
    _check_file(f"{PREFIX}KAFKA_SSL_CA_LOCATION", connection.ssl_ca_location)
    if connection.security_protocol in ("plaintext", "sasl_plaintext"):
        for server in servers.split(","):
            _refuse_plaintext(server.rpartition(":")[0].strip("[]"))
    return connection


def redis_connection(run: Run) -> RedisConnection:
    """Return the connection to Redis: the outside server when it is named, else this run's local database."""
    authority = os.environ.get("HEADRACE_REDIS_TLS_CA_LOCATION", "")
    url = os.environ.get("HEADRACE_REDIS_URL") or f"{_local('redis_url', run.root)}/{run.redis_db}"
    _check_file(f"{PREFIX}REDIS_TLS_CA_LOCATION", authority)
    connection = RedisConnection.from_url(url, authority)
    if not connection.tls:
        _refuse_plaintext(connection.host)
    return connection


def models_secret() -> str:
    """Return the secret that signs releases, empty where they are not signed."""
    return os.environ.get("HEADRACE_MODELS_SECRET", "")


def models_mlflow() -> str:
    """Return the URI of the MLflow that is the registry, empty where the models' folder is.

    Raises:
        ConfigError: E_CONFIG_VALUE, a URI of another kind or with a password; E_CONFIG_PLAINTEXT.
    """
    uri = os.environ.get(f"{PREFIX}MODELS_MLFLOW", "")
    parts = urlsplit(uri)
    if uri and parts.scheme not in ("http", "https", "sqlite"):
        raise ConfigError(
            "E_CONFIG_VALUE", f"{parts.scheme or 'no'!r} is no scheme of an MLflow that we use",
            f"{PREFIX}MODELS_MLFLOW", "give http[s]://host:port, or sqlite:///path for one machine",
        )  # fmt: skip
    if "@" in parts.netloc:
        raise ConfigError(
            "E_CONFIG_VALUE", "user and password would be logged", f"{PREFIX}MODELS_MLFLOW",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
        )  # fmt: skip
    if parts.scheme == "http":
        _refuse_plaintext(parts.hostname or "")
    return uri


def connections() -> tuple[KafkaConnection, Run]:
    """Return Kafka and the run: all that a command needs which only reads or writes topics."""
    check_names()
    return kafka_connection(), current_run()


def settings_of(kind: type[T], **given: Any) -> T:
    """Fill a room's settings: `given` by the caller, then the environment, then the run, then defaults.

    A field called kafka, redis, lake, models, topic_prefix, epoch or project comes from the run.

    Raises:
        ConfigError: E_CONFIG_UNKNOWN, E_CONFIG_VALUE, E_CONFIG_MISSING, or as the connections'.
    """
    check_names()
    run = current_run()
    values = dict(_from_environment(kind))
    for field in msgspec.structs.fields(kind):
        if field.name not in values and field.name not in given:
            values.update(_from_run(field.name, run))
    missing = [
        f.name for f in msgspec.structs.fields(kind) if f.required and f.name not in {**values, **given}
    ]
    if missing:
        raise ConfigError(
            "E_CONFIG_MISSING", f"a value is needed for {', '.join(missing)}", kind.__name__,
            f"set {', '.join(variable(kind, name) for name in missing)}",
        )  # fmt: skip
    return kind(**{**values, **given})


def variable(kind: type[msgspec.Struct], field: str) -> str:
    """Return the name of a field in the environment.

    >>> class DoorSettings(msgspec.Struct):
    ...     width_mm: int = 800
    >>> variable(DoorSettings, "width_mm")
    'HEADRACE_DOOR_WIDTH_MM'
    """
    return f"{PREFIX}{_words(kind.__name__.removesuffix('Settings'))}_{field.upper()}"


def known() -> dict[str, str]:
    """Return every variable that means something, with what it means."""
    names = {PREFIX + name: about for name, about in SHARED.items()}
    for kind in rooms():
        for field in msgspec.structs.fields(kind):
            if not _is_struct(field.type) and field.name not in _from_run_names():
                default = "" if field.required else f" (default: {field.default})"
                names[variable(kind, field.name)] = f"{kind.__name__}.{field.name}{default}"
    return names


def check_names(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a variable of ours that means nothing, with the nearest one that does.

    Raises:
        ConfigError: E_CONFIG_UNKNOWN.
    """
    ours = [name for name in environment if name.startswith(PREFIX)]
    if not ours:
        return
    meaningful = known()
    for name in sorted(set(ours) - set(meaningful)):
        nearest = difflib.get_close_matches(name, meaningful, n=1)
        advice = f"did you mean {nearest[0]}?" if nearest else "`headrace doctor --settings` lists them"
        renamed = _renamed(name)
        raise ConfigError(
            "E_CONFIG_UNKNOWN", "no setting has this name", name,
            f"it is called {renamed} now" if renamed in meaningful else advice,
        )  # fmt: skip


def _renamed(name: str) -> str:
    """Return what a name that meant something in an older version is called now."""
    for old, new in RENAMED.items():
        if name.startswith(PREFIX + old):
            return PREFIX + new + name.removeprefix(PREFIX + old)
    return ""


def shown(settings: msgspec.Struct) -> dict[str, Any]:
    """Return settings as they may be logged: secrets are asterisks.

    >>> shown(KafkaConnection(bootstrap_servers="127.0.0.1:1", sasl_password="x"))["sasl_password"]
    '***'
    """
    rows: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(settings).items():
        if isinstance(value, msgspec.Struct):
            rows[name] = shown(value)
        elif any(word in name for word in SECRETS) and value:
            rows[name] = "***"
        else:
            rows[name] = str(value) if isinstance(value, Path) else value
    return rows


def rooms() -> Iterator[type[msgspec.Struct]]:
    """Yield the settings of every room, found in the files called `...settings.py`."""
    house = Path(__file__).resolve().parents[1]
    for room in ROOMS:
        for path in sorted((house / room).rglob("*settings.py")):
            module = importlib.import_module(".".join(path.relative_to(house).with_suffix("").parts))
            for name, kind in vars(module).items():
                if (
                    name.endswith("Settings")
                    and isinstance(kind, type)
                    and kind.__module__ == module.__name__
                ):
                    yield kind


def _from_environment(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    """Yield the fields that the environment sets; settings inside settings have names of their own."""
    for field in msgspec.structs.fields(kind):
        name = variable(kind, field.name)
        if _is_struct(field.type):
            if field.type.__name__.endswith("Settings"):
                yield field.name, field.type(**dict(_from_environment(field.type)))
        elif name in os.environ:
            yield field.name, _convert(os.environ[name], field.type, name)
        elif field.name in FOR_ALL and PREFIX + field.name.upper() in os.environ:
            common = PREFIX + field.name.upper()
            yield field.name, _convert(os.environ[common], field.type, common)


def _from_run(name: str, run: Run) -> dict[str, Any]:
    if name == "kafka":
        return {name: kafka_connection()}
    if name == "redis":
        return {name: redis_connection(run)}
    if name == "models_secret":
        return {name: models_secret()}
    if name == "models_mlflow":
        return {name: models_mlflow()}
    return {name: getattr(run, name)} if name in _from_run_names() else {}


def _from_run_names() -> tuple[str, ...]:
    return (
        "kafka",
        "redis",
        "lake",
        "models",
        "models_secret",
        "models_mlflow",
        "feast_registry",
        "topic_prefix",
        "epoch",
        "project",
        "partitions",
    )


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _convert(value: Any, kind: Any, name: str) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if Path in kinds:
        return Path(value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError("E_CONFIG_VALUE", f"the value cannot be used: {error}", name) from None


def _local(what: str, beside: Path | None = None) -> str:
    """Return the address of a local server from the `servers.json` of a root folder, or of ours."""
    own = root() / FOLDER / "servers.json"
    path = beside / FOLDER / "servers.json" if beside is not None else own
    if not path.exists():
        path = own
    try:
        address: str = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])[what]
    except (FileNotFoundError, KeyError, msgspec.MsgspecError) as error:
        why = "" if isinstance(error, FileNotFoundError) else f" ({error!r})"
        raise ConfigError(
            "E_SERVERS_NONE", f"no server is named, and none runs here{why}", str(path),
            "run `headrace up` or `headrace servers start`,"
            " or set HEADRACE_BOOTSTRAP_SERVERS and HEADRACE_REDIS_URL",
        ) from error  # fmt: skip
    return address


def _refuse_plaintext(host: str) -> None:
    if host in LOOPBACK or os.environ.get("HEADRACE_ALLOW_PLAINTEXT") == "yes":
        return
    raise ConfigError(
        "E_CONFIG_PLAINTEXT", "records, or models, would leave this machine unencrypted", host,
        "use ssl, sasl_ssl or rediss://, or set HEADRACE_ALLOW_PLAINTEXT=yes on a network of your own",
    )  # fmt: skip


def _check_sasl(kafka: KafkaConnection) -> None:
    """Refuse a mechanism that is missing, unknown or would not be used: clients tell it late, or never."""
    is_sasl = kafka.security_protocol.startswith("sasl_")
    given = [name for name in ("mechanism", "username", "password") if getattr(kafka, f"sasl_{name}")]
    wrong = ""
    if is_sasl and kafka.sasl_mechanism not in SASL_MECHANISMS:
        wrong = f"{kafka.sasl_mechanism!r} is no mechanism" if kafka.sasl_mechanism else "no mechanism is set"
    elif is_sasl and len(given) < 3:
        wrong = "a user and a password are needed"
    elif given and not is_sasl:
        wrong = f"{', '.join(given)} would not be used with {kafka.security_protocol}"
    if wrong:
        raise ConfigError(
            "E_CONFIG_SASL", f"SASL cannot be used so: {wrong}", f"{PREFIX}KAFKA_SASL_*",
            f"set HEADRACE_KAFKA_SECURITY_PROTOCOL to sasl_ssl, and HEADRACE_KAFKA_SASL_MECHANISM to one of"
            f" {', '.join(SASL_MECHANISMS)}, with SASL_USERNAME and SASL_PASSWORD",
        )  # fmt: skip


def _check_file(name: str, path: str) -> None:
    """Refuse a file that a setting names and that is not there."""
    if path and not Path(path).is_file():
        raise ConfigError("E_CONFIG_FILE", "no file is there", f"{name}={path}", "give the path of a file")


def _words(name: str) -> str:
    """Return a class name in words: `OnlineStore` is ONLINE_STORE."""
    return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(name)).upper()
