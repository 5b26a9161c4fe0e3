"""Versions are whole or not there, one is champion, and every change is written down."""

import multiprocessing
from pathlib import Path

import orjson
import pytest

from contracts.errors import ModelError
from inference.manifest import Champion, read_champion
from inference.registry import Change, Registry

CHANGE = Change(who="tester", at_ms=1, why="because")
MANIFEST = {
    "definitions_hash": "0" * 16, "features": ["a"], "thresholds": {"review": 0.1, "decline": 0.9},
    "metrics": {"average_precision": 0.5},
}  # fmt: skip


def add(registry: Registry, text: bytes = b"tree") -> str:
    return registry.add("fraud", {"model.txt": text, "golden.json": b"{}"}, MANIFEST, CHANGE).id


def test_a_new_version_is_a_candidate_until_it_is_promoted(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one = add(registry)
    assert [entry.stage for entry in registry.entries()] == ["candidate"]
    assert read_champion(tmp_path) is None
    entry = registry.promote(one, CHANGE)
    assert entry.stage == "champion"
    assert read_champion(tmp_path) == Champion(name="fraud", version=entry.version, sha256=entry.sha256)
    assert entry.metrics == {"average_precision": 0.5}


def test_rollback_goes_back_one_champion_at_a_time(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    ids = [add(registry, text) for text in (b"one", b"two", b"three")]
    for version_id in ids:
        registry.promote(version_id, CHANGE)
    assert registry.rollback(CHANGE).id == ids[1]
    assert registry.rollback(CHANGE).id == ids[0]
    with pytest.raises(ModelError, match="E_MODEL_ROLLBACK"):
        registry.rollback(CHANGE)
    assert [row["action"] for row in registry.audit()] == ["add"] * 3 + ["promote"] * 3 + ["rollback"] * 2


def test_a_version_with_a_changed_file_is_not_promoted(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one, two = add(registry), add(registry, b"other")
    registry.promote(one, CHANGE)
    (tmp_path / two / "model.txt").write_bytes(b"changed")
    with pytest.raises(ModelError, match="E_MODEL_HASH"):
        registry.promote(two, CHANGE)
    assert registry.find("champion").id == one


def test_a_damaged_manifest_is_shown_as_damaged(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one = add(registry)
    (tmp_path / one / "manifest.json").write_bytes(b"{")
    assert registry.entries()[0].stage == "damaged"


def test_an_audit_line_cut_short_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one = add(registry)
    with (tmp_path / "audit.ndjson").open("ab") as audit:
        audit.write(b'{"action": "pro')
    registry.promote(one, CHANGE)
    assert [row["action"] for row in registry.audit()] == ["add", "promote"]
    assert orjson.loads((tmp_path / "audit.ndjson").read_bytes().splitlines()[-1])["why"] == "because"


def test_unknown_names_are_refused_with_what_is_known(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one = add(registry)
    with pytest.raises(ModelError, match=one):
        registry.find("fraud/9999-none")


def _add_many(models: Path) -> None:
    for _ in range(5):
        add(Registry(models))


def test_two_processes_never_take_one_number(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_add_many, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    numbers = [entry.version.partition("-")[0] for entry in Registry(tmp_path).entries()]
    assert numbers == [f"{n:04d}" for n in range(1, 11)]
