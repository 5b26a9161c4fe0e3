"""Which run, and which Redis, a Feast command means."""

import json
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from feature_repo.run_home import RunHome


def made_run(root: Path, name: str = "main", redis_db: int = 7) -> Path:
    home = root / ".headrace" / "runs" / name
    home.mkdir(parents=True)
    (home / "run.json").write_text(json.dumps({"name": name, "redis_db": redis_db}))
    return home


def test_the_named_run_comes_before_the_current_one(tmp_path: Path) -> None:
    main, other = made_run(tmp_path), made_run(tmp_path, "other")
    (tmp_path / ".headrace" / "current").symlink_to(main)
    assert RunHome.find({}, tmp_path).path == main.resolve()
    assert RunHome.find({"HEADRACE_ROOT": str(tmp_path)}).path == main.resolve()
    assert RunHome.find({"HEADRACE_RUN": str(other)}, tmp_path).path == other.resolve()


def test_without_a_run_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"E_RUN_NONE.*headrace up"):
        RunHome.find({}, tmp_path)


def test_the_local_server_is_used_with_the_database_of_the_run(tmp_path: Path) -> None:
    home = RunHome(made_run(tmp_path))
    (tmp_path / ".headrace" / "servers.json").write_text(
        '{"redis_url": "redis://127.0.0.1:2000", "pids": {}}'
    )
    found = home.redis({})
    assert (found.host, found.port, found.db) == ("127.0.0.1", 2000, 7)


def test_an_address_in_the_environment_wins(tmp_path: Path) -> None:
    found = RunHome(made_run(tmp_path)).redis({"HEADRACE_REDIS_URL": "rediss://u:p@store.example:6380/2"})
    assert (found.host, found.port, found.db, found.tls) == ("store.example", 6380, 2, True)


def test_features_do_not_cross_a_network_in_the_clear_unless_it_is_allowed(tmp_path: Path) -> None:
    home, url = RunHome(made_run(tmp_path)), "redis://store.example:6379/0"
    with pytest.raises(ConfigError, match="E_CONFIG_PLAINTEXT"):
        home.redis({"HEADRACE_REDIS_URL": url})
    allowed = {"HEADRACE_REDIS_URL": url, "HEADRACE_ALLOW_PLAINTEXT": "yes"}
    assert home.redis(allowed).host == "store.example"


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_without_a_known_server_the_error_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    home = RunHome(made_run(tmp_path))
    if content is not None:
        (tmp_path / ".headrace" / "servers.json").write_text(content)
    with pytest.raises(ConfigError, match=r"E_RUN_SERVERS.*headrace up"):
        home.redis({})
