"""Versions are whole or not there, one is champion, and every change is written down."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from contracts.crash_points import REGISTRY_POINTS
from contracts.errors import ModelError
from inference.models.manifest import Champion, read_champion
from inference.release.registry import Registry
from tests.unit.inference.stores import IN_USE, file_of, store
from tests.unit.inference.versions import CHANGE, add


@pytest.fixture(params=IN_USE)
def kind(request: pytest.FixtureRequest) -> str:
    """Return which back end the registry has."""
    return str(request.param)


def test_a_new_version_is_a_candidate_until_it_is_promoted(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one = add(registry)
    assert [entry.stage for entry in registry.entries()] == ["candidate"]
    assert read_champion(tmp_path) is None
    entry = registry.promote(one, CHANGE)
    assert entry.stage == "champion"
    assert read_champion(tmp_path) == Champion(name="fraud", version=entry.version, sha256=entry.sha256)
    assert entry.metrics == {"average_precision": 0.5}


def test_rollback_goes_back_one_champion_at_a_time(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    ids = [add(registry, text) for text in (b"one", b"two", b"three")]
    for version_id in ids:
        registry.promote(version_id, CHANGE)
    assert registry.rollback(CHANGE).id == ids[1]
    assert registry.rollback(CHANGE).id == ids[0]
    with pytest.raises(ModelError, match="E_MODEL_ROLLBACK"):
        registry.rollback(CHANGE)
    assert [row["action"] for row in registry.audit()] == ["add"] * 3 + ["promote"] * 3 + ["rollback"] * 2


def test_a_version_with_a_changed_file_is_not_promoted(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one, two = add(registry), add(registry, b"other")
    registry.promote(one, CHANGE)
    file_of(kind, tmp_path, two, "model.txt").write_bytes(b"changed")
    with pytest.raises(ModelError, match="E_MODEL_HASH"):
        registry.promote(two, CHANGE)
    assert registry.find("champion").id == one


def test_a_damaged_manifest_is_shown_as_damaged(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one = add(registry)
    file_of(kind, tmp_path, one, "manifest.json").write_bytes(b"{")
    assert registry.entries()[0].stage == "damaged"


def test_an_audit_line_cut_short_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one = add(registry)
    with (tmp_path / "audit.ndjson").open("ab") as audit:
        audit.write(b'{"action": "pro')
    registry.promote(one, CHANGE)
    assert [row["action"] for row in registry.audit()] == ["add", "promote"]
    assert orjson.loads((tmp_path / "audit.ndjson").read_bytes().splitlines()[-1])["why"] == "because"


def test_unknown_names_are_refused_with_what_is_known(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one = add(registry)
    with pytest.raises(ModelError, match=one):
        registry.find("fraud/9999-none")


def _add_many(kind: str, models: Path) -> None:
    for _ in range(5):
        add(Registry(models, store(kind, models)))


def test_two_processes_never_take_one_number(kind: str, tmp_path: Path) -> None:
    seen = Registry(tmp_path, store(kind, tmp_path))
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_add_many, args=(kind, tmp_path)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    numbers = [entry.version.partition("-")[0] for entry in seen.entries()]
    assert numbers == [f"{n:04d}" for n in range(1, 11)]


def test_who_was_promoted_when_and_why_is_in_the_audit_with_the_stage_it_came_from(
    kind: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE, "shadow")
    registry.promote(two, CHANGE, "canary", share_percent=5)
    registry.promote(two, CHANGE, gates=[{"gate": "golden_rows"}])
    registry.rollback(CHANGE)
    registry.retire(two, CHANGE)
    told = [(row["action"], row["from"], row["to"]) for row in registry.audit() if row["action"] != "add"]
    assert told == [
        ("promote", "candidate", "champion"), ("promote", "candidate", "shadow"),
        ("promote", "shadow", "canary"), ("promote", "canary", "champion"),
        ("rollback", "retired", "champion"), ("retire", "retired", "retired"),
    ]  # fmt: skip
    rows = registry.audit()
    assert all(row["took_effect"] and row["who"] == "tester" and row["why"] == "because" for row in rows)
    assert [row["revision"] for row in rows if "revision" in row] == [1, 2, 3, 4, 5, 6]
    assert next(row for row in rows if "gates" in row)["gates"] == [{"gate": "golden_rows"}]
    assert {entry.id: entry.stage for entry in registry.entries()} == {one: "champion", two: "retired"}


def _dying(kind: str, models: Path, *arguments: str, point: str = "") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.unit.inference.registry_that_dies", kind, str(models), *arguments]
    environment = {**os.environ, "HEADRACE_CRASH_AT": f"{point}:1"} if point else dict(os.environ)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("point", [point for point in REGISTRY_POINTS if point != "registry.in_add"])
@pytest.mark.parametrize("what", ["champion", "canary", "rollback"])
def test_a_crash_anywhere_in_a_change_leaves_one_champion_and_a_true_history(
    kind: str, tmp_path: Path, what: str, point: str
) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one, two, three = (add(registry, text) for text in (b"one", b"two", b"three"))
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE)
    process = _dying(kind, tmp_path, what, three, point=point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    happened = point == "registry.after_release"
    champions = [entry.id for entry in registry.entries() if entry.stage == "champion"]
    assert champions == [{"champion": three, "rollback": one}.get(what, two) if happened else two]
    row = [row for row in registry.audit() if row["who"] == "dying"]
    assert [r["took_effect"] for r in row] == ([] if point == "registry.before_audit" else [happened])
    assert registry.release().revision == 2 + happened
    # the next change goes on from what is there, and rolling back leads where it must
    registry.promote(three, CHANGE)
    assert [r["took_effect"] for r in registry.audit() if r["who"] == "dying"] == [happened] * len(row)
    before = registry.find("champion").id
    back = registry.rollback(CHANGE).id
    assert before == three
    assert back == (one if happened and what == "rollback" else two)


def test_a_crash_while_a_version_is_written_leaves_no_half_version(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one = add(registry)
    process = _dying(kind, tmp_path, "add", point="registry.in_add")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert [entry.id for entry in registry.entries()] == [one]
    assert [row["took_effect"] for row in registry.audit()] == [True, False]
    assert add(registry, b"next").startswith("fraud/0003-"), "a number is given once"


def test_of_two_promotions_at_once_one_wins_and_both_are_told(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    ids = [add(registry, text) for text in (b"one", b"two", b"three")]
    registry.promote(ids[0], CHANGE)
    both = [_dying(kind, tmp_path, "champion", version_id, "1") for version_id in ids[1:]]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, ModelError.exit_code]
    assert sorted(said) == ["", "E_RELEASE_CHANGED"]
    winner = ids[1:][codes.index(0)]
    assert registry.find("champion").id == winner
    assert registry.release().revision == 2
    with pytest.raises(ModelError, match=f"dying did promote {winner} meanwhile"):
        registry.promote(ids[0], CHANGE, expected=1)


def test_a_registry_from_before_keeps_its_way_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    ids = [add(registry, text) for text in (b"one", b"two")]
    rows = [{"action": "promote", "id": one, "sha256": registry.find(one).sha256, "who": "t", "at_ms": 1,
             "why": ""} for one in ids]  # fmt: skip
    with (tmp_path / "audit.ndjson").open("ab") as audit:
        audit.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    newest = registry.find(ids[1])
    (tmp_path / "champion.json").write_bytes(
        orjson.dumps({"name": "fraud", "version": newest.version, "sha256": newest.sha256})
    )
    assert registry.find("champion").id == ids[1]
    assert registry.rollback(CHANGE).id == ids[0]
    assert read_champion(tmp_path) == registry.find(ids[0]).pointer


def test_a_champion_whose_files_changed_is_not_gone_back_to(kind: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, store(kind, tmp_path))
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE)
    file_of(kind, tmp_path, one, "model.txt").write_bytes(b"changed")
    with pytest.raises(ModelError, match="E_MODEL_HASH"):
        registry.rollback(CHANGE)
    assert registry.find("champion").id == two
