"""What the learner is told by a real registry folder."""

from pathlib import Path

from inference.learner.ports import Training
from inference.learner.registry_models import RegistryModels
from inference.manifest import Thresholds
from inference.registry import Change, Registry

MANIFEST = {
    "definitions_hash": "h", "features": ["a"], "thresholds": {"review": 0.4, "decline": 0.8},
    "data": {"until_ms": 77, "rows": 1234}, "metrics": {"comparison": {"champion": {"gain": 0.03}}},
}  # fmt: skip
FILES = {"model.txt": b"tree", "golden.json": b"{}"}


def test_thresholds_training_and_gain_come_from_the_manifest(tmp_path: Path) -> None:
    registry, models = Registry(tmp_path), RegistryModels(tmp_path)
    assert models.champion() is None
    assert models.thresholds("fraud/0001-nothing") is None
    entry = registry.add("fraud", FILES, dict(MANIFEST), Change(who="t", at_ms=1, why=""))
    assert models.thresholds(entry.id) == Thresholds(review=0.4, decline=0.8)
    assert models.gain(entry.id) == 0.03
    assert models.champion() is None
    models.promote(entry.id, 5, "the policy says so")
    assert models.champion() == Training(model=entry.id, until_ms=77, labels=1234)
    assert registry.audit()[-1]["who"] == "retraining policy"
    assert registry.audit()[-1]["why"] == "the policy says so"


def test_a_version_that_was_never_compared_has_no_gain(tmp_path: Path) -> None:
    registry, models = Registry(tmp_path), RegistryModels(tmp_path)
    said = {key: value for key, value in MANIFEST.items() if key != "metrics"}
    entry = registry.add("fraud", FILES, said, Change(who="t", at_ms=1, why=""))
    assert models.gain(entry.id) is None


def test_names_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    assert RegistryModels(tmp_path).thresholds("../elsewhere") is None


def test_a_registry_that_cannot_be_read_leaves_the_last_champion(tmp_path: Path) -> None:
    registry, models = Registry(tmp_path), RegistryModels(tmp_path)
    entry = registry.add("fraud", FILES, dict(MANIFEST), Change(who="t", at_ms=1, why=""))
    models.promote(entry.id, 5, "")
    known = models.champion()
    for pointer in tmp_path.glob("*.json"):
        pointer.write_bytes(b"{")
    assert models.champion() == known
    assert known is not None
