"""Which run, and which Redis, a Feast command means: those that every command of ours means."""

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from runtime.run import Run
from streams.store.feast.online_store import RunOnlineStoreConfig, _arguments


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("HEADRACE_REDIS_URL", "HEADRACE_RUN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path / "elsewhere"))
    return Run.create(tmp_path, "demo", redis_db=7)


def settings(run: Run | None) -> RunOnlineStoreConfig:
    return RunOnlineStoreConfig(home="" if run is None else str(run.home))


def test_a_named_run_has_the_server_of_its_own_folder_and_its_own_database(run: Run) -> None:
    (run.root / ".headrace" / "servers.json").write_text(
        '{"redis_url": "redis://127.0.0.1:2000", "pids": {}}'
    )
    found = _arguments(settings(run))
    assert (found["host"], found["port"], found["db"]) == ("127.0.0.1", 2000, 7)


def test_without_a_name_it_is_the_current_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"E_RUN_NONE.*headrace up"):
        _arguments(settings(None))
    monkeypatch.setenv("HEADRACE_ROOT", str(run.root))
    monkeypatch.setenv("HEADRACE_REDIS_URL", "rediss://u:p@store.example:6380/2")
    found = _arguments(settings(None))
    assert (found["host"], found["port"], found["db"], found["ssl"]) == ("store.example", 6380, 2, True)


def test_features_do_not_cross_a_network_in_the_clear_unless_it_is_allowed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_REDIS_URL", "redis://store.example:6379/0")
    with pytest.raises(ConfigError, match="E_CONFIG_PLAINTEXT"):
        _arguments(settings(run))
    monkeypatch.setenv("HEADRACE_ALLOW_PLAINTEXT", "yes")
    assert _arguments(settings(run))["host"] == "store.example"


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_without_a_known_server_the_error_says_what_to_do(run: Run, content: str | None) -> None:
    if content is not None:
        (run.root / ".headrace" / "servers.json").write_text(content)
    with pytest.raises(ConfigError, match=r"E_SERVERS_NONE.*headrace up"):
        _arguments(settings(run))
