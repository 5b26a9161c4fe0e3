"""A run: its folder, what keeps it apart from other runs, and which one is current."""

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from runtime.run import Run


def test_a_run_is_read_as_it_was_made(tmp_path: Path) -> None:
    made = Run.create(tmp_path, "demo-1")
    assert Run.load(made.home) == made == Run.current(tmp_path)
    assert all(folder.is_dir() for folder in (made.lake, made.models, made.logs, made.ports))


def test_runs_share_neither_topics_nor_database(tmp_path: Path) -> None:
    main, one, two = (Run.create(tmp_path, name) for name in ("main", "demo-1", "demo-2"))
    assert (main.topic_prefix, one.topic_prefix, two.topic_prefix) == ("", "demo-1.", "demo-2.")
    assert [run.redis_db for run in (main, one, two)] == [0, 1, 2]


def test_a_further_run_leaves_the_current_one_as_it_is(tmp_path: Path) -> None:
    main = Run.main(tmp_path)
    demo = Run.create(tmp_path, "demo-1")
    assert Run.current(tmp_path) == main
    demo.make_current(tmp_path)
    assert Run.current(tmp_path) == demo
    assert Run.main(tmp_path) == main == Run.current(tmp_path)


def test_a_run_is_found_by_name_or_folder_and_a_near_name_is_suggested(tmp_path: Path) -> None:
    main, demo = Run.main(tmp_path), Run.create(tmp_path, "demo-1")
    assert Run.named(tmp_path, "demo-1") == demo
    assert Run.named(tmp_path, str(main.home)) == main
    with pytest.raises(ConfigError, match="did you mean demo-1"):
        Run.named(tmp_path, "demo1")
    with pytest.raises(ConfigError, match="E_RUN_UNKNOWN"):
        Run.named(tmp_path, "../runs/main")


def test_logs_of_a_run_are_their_owners_alone(tmp_path: Path) -> None:
    assert Run.main(tmp_path).logs.stat().st_mode & 0o077 == 0


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    Run.create(tmp_path, "main")
    with pytest.raises(ConfigError, match="E_RUN_EXISTS"):
        Run.create(tmp_path, "main")


def test_what_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E_RUN_NONE"):
        Run.current(tmp_path)
    with pytest.raises(ConfigError, match="E_RUN_UNKNOWN"):
        Run.load(tmp_path)
    (tmp_path / "run.json").write_text('{"name": "x"')
    with pytest.raises(ConfigError, match="E_RUN_FILE"):
        Run.load(tmp_path)


def test_a_run_moves_with_its_folder(tmp_path: Path) -> None:
    made = Run.create(tmp_path, "demo-1")
    moved = made.home.rename(tmp_path / "elsewhere")
    assert Run.load(moved).lake == moved / "lake"
