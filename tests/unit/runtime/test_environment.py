"""Settings from the environment: filled by one rule, refused when they mean nothing, told without secrets."""

from pathlib import Path

import pytest

from contracts.connections import KafkaConnection
from contracts.errors import ConfigError
from runtime import environment
from runtime.run import Run
from streams.archive.settings import ArchiveSettings
from streams.stage.settings import StageSettings


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "127.0.0.1:1,localhost:2")
    monkeypatch.setenv("HEADRACE_REDIS_URL", "redis://127.0.0.1:3/7")
    return Run.create(tmp_path, "demo-1")


def test_a_field_is_filled_from_its_variable_or_the_run_or_its_default(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ARCHIVE_ROWS_A_FILE", "77")
    monkeypatch.setenv("HEADRACE_LOG_LEVEL", "debug")
    settings = environment.settings_of(ArchiveSettings)
    assert (settings.rows_a_file, settings.log_level, settings.topic_prefix) == (77, "debug", "demo-1.")
    assert (settings.lake, settings.drain_ms) == (run.lake, 2000.0)
    assert settings.kafka.bootstrap_servers == "127.0.0.1:1,localhost:2"


def test_settings_inside_settings_have_variables_of_their_own(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_STORE_REPLY_TIMEOUT_MS", "12.5")
    settings = environment.settings_of(StageSettings, data_folder=run.home)
    assert settings.store.reply_timeout_ms == 12.5
    assert (settings.redis.port, settings.redis.db, settings.epoch) == (3, 7, run.epoch)


def test_the_callers_word_counts_most(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ARCHIVE_ROWS_A_FILE", "77")
    assert environment.settings_of(ArchiveSettings, rows_a_file=5).rows_a_file == 5


def test_a_needed_value_that_is_missing_is_named(run: Run) -> None:
    with pytest.raises(ConfigError, match="HEADRACE_STAGE_DATA_FOLDER") as caught:
        environment.settings_of(StageSettings)
    assert caught.value.code == "E_CONFIG_MISSING"


def test_an_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError) as caught:
        environment.check_names({"HEADRACE_STAGE_GATER_MS": "1"})
    assert caught.value.code == "E_CONFIG_UNKNOWN"
    assert caught.value.next_step == "did you mean HEADRACE_STAGE_GATHER_MS?"


def test_a_value_that_cannot_be_used_is_refused_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ARCHIVE_ROWS_A_FILE", "many")
    with pytest.raises(ConfigError, match="HEADRACE_ARCHIVE_ROWS_A_FILE"):
        environment.settings_of(ArchiveSettings)


@pytest.mark.parametrize("servers", ["kafka.example.org:9092", "127.0.0.1:9092,10.0.0.1:9092"])
def test_plaintext_never_leaves_the_machine_unasked(servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", servers)
    with pytest.raises(ConfigError, match="E_CONFIG_PLAINTEXT"):
        environment.kafka_connection()
    monkeypatch.setenv("HEADRACE_ALLOW_PLAINTEXT", "yes")
    assert environment.kafka_connection().bootstrap_servers == servers


def test_plaintext_redis_elsewhere_is_refused_and_tls_is_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_REDIS_URL", "redis://store.example.org:6379/0")
    with pytest.raises(ConfigError, match="E_CONFIG_PLAINTEXT"):
        environment.redis_connection(run)
    monkeypatch.setenv("HEADRACE_REDIS_URL", "rediss://scorer:secret@store.example.org:6379/0")
    assert environment.redis_connection(run).username == "scorer"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("http://mlflow.example:5000", "E_CONFIG_PLAINTEXT"), ("ftp://mlflow.example", "E_CONFIG_VALUE"),
        ("mlruns", "E_CONFIG_VALUE"), ("https://me:secret@mlflow.example.org", "E_CONFIG_VALUE"),
    ],
)  # fmt: skip
def test_an_mlflow_that_would_not_be_safe_or_not_be_found_is_refused(
    uri: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_MODELS_MLFLOW", uri)
    with pytest.raises(ConfigError, match=code) as refused:
        environment.models_mlflow()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["", "http://127.0.0.1:5000", "https://mlflow.example.org", "sqlite:////srv/mlflow.db"]
)
def test_an_mlflow_is_taken_as_it_is_named(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_MODELS_MLFLOW", uri)
    assert environment.models_mlflow() == uri


def test_sasl_is_taken_from_the_environment_and_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "kafka.example.org:9093")
    monkeypatch.setenv("HEADRACE_KAFKA_SECURITY_PROTOCOL", "sasl_ssl")
    monkeypatch.setenv("HEADRACE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("HEADRACE_KAFKA_SASL_USERNAME", "gate")
    monkeypatch.setenv("HEADRACE_KAFKA_SASL_PASSWORD", "canary")
    connection = environment.kafka_connection()
    assert connection.librdkafka()["sasl.password"] == "canary"
    settings = ArchiveSettings(kafka=connection, lake=Path("/lake"))
    assert "canary" not in str(environment.shown(settings)) + repr(connection)


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("sasl_plaintext", {}),
        ("sasl_ssl", {"MECHANISM": "SCRAM-SHA-1", "USERNAME": "u", "PASSWORD": "p"}),
        ("sasl_ssl", {"MECHANISM": "PLAIN", "USERNAME": "u"}),
        ("ssl", {"MECHANISM": "PLAIN", "USERNAME": "u", "PASSWORD": "p"}),
    ],
)
def test_sasl_that_clients_could_not_or_would_not_use_is_refused(
    protocol: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "127.0.0.1:9093")
    monkeypatch.setenv("HEADRACE_KAFKA_SECURITY_PROTOCOL", protocol)
    for name, value in settings.items():
        monkeypatch.setenv(f"HEADRACE_KAFKA_SASL_{name}", value)
    with pytest.raises(ConfigError, match="E_CONFIG_SASL"):
        environment.kafka_connection()


@pytest.mark.parametrize("name", ["KAFKA_SSL_CA_LOCATION", "REDIS_TLS_CA_LOCATION"])
def test_a_file_that_a_setting_names_must_be_there(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", "127.0.0.1:9093")
    monkeypatch.setenv("HEADRACE_KAFKA_SECURITY_PROTOCOL", "ssl")
    monkeypatch.setenv("HEADRACE_REDIS_URL", "rediss://127.0.0.1:1/0")
    monkeypatch.setenv(f"HEADRACE_{name}", "/nonexistent/ca.pem")
    with pytest.raises(ConfigError, match=f"E_CONFIG_FILE.*HEADRACE_{name}=/nonexistent"):
        (environment.kafka_connection(), environment.redis_connection(run))


def test_no_two_settings_share_a_name() -> None:
    owners: dict[str, list[str]] = {}
    for kind in environment.rooms():
        owners.setdefault(environment.variable(kind, ""), []).append(kind.__qualname__ + kind.__module__)
    assert {prefix: kinds for prefix, kinds in owners.items() if len(kinds) > 1} == {}


def test_a_setting_of_an_older_name_is_refused_with_its_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_GATE_WORSE_BY", "0.1")
    with pytest.raises(ConfigError, match="it is called HEADRACE_RELEASE_GATE_WORSE_BY now"):
        environment.check_names()


def test_which_run_is_meant_is_said_where_there_are_several(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.delenv("HEADRACE_RUN", raising=False)
    environment._say_which.cache_clear()
    environment.current_run()
    assert capsys.readouterr().err == ""
    Run.create(tmp_path, "demo-2")
    environment.current_run()
    environment.current_run()
    assert capsys.readouterr().err.count("run demo-1 (of 2;") == 1


def test_every_variable_of_every_room_is_known() -> None:
    names = environment.known()
    assert {
        "HEADRACE_GATE_METRICS_PORT",
        "HEADRACE_STAGE_GATHER_MS",
        "HEADRACE_ARCHIVE_POLL_MS",
    } <= names.keys()
    assert not [name for name in names if name.endswith(("_KAFKA", "_REDIS", "_TOPIC_PREFIX"))]


def test_the_local_servers_are_found_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    run = Run.create(tmp_path, "main")
    (tmp_path / ".headrace" / "servers.json").write_text(
        '{"bootstrap_servers": "127.0.0.1:11", "redis_url": "redis://127.0.0.1:12"}'
    )
    assert environment.kafka_connection() == KafkaConnection(bootstrap_servers="127.0.0.1:11")
    assert (environment.redis_connection(run).port, environment.redis_connection(run).db) == (12, 0)


def test_no_class_of_settings_shares_a_prefix_with_another_or_with_what_all_share() -> None:
    kinds = list(environment.rooms())
    owners: dict[str, str] = {}
    for kind in kinds:
        prefix = environment.variable(kind, "")
        assert prefix not in owners, f"{kind.__module__}.{kind.__name__} and {owners[prefix]}"
        owners[prefix] = f"{kind.__module__}.{kind.__name__}"
    names = [environment.variable(kind, name) for kind in kinds for name in kind.__struct_fields__]
    assert len(names) == len(set(names)), "one variable fills two fields"
    shared = {environment.PREFIX + name for name in environment.SHARED}
    assert shared & set(names) == set()
