"""What the learner is told by a real registry folder."""

from pathlib import Path

import pytest

from contracts.errors import ModelError
from inference.learning.ports import Training
from inference.learning.registry_models import RegistryModels
from inference.models.manifest import Thresholds
from inference.release.live_evidence import Figures, Report, write_report
from inference.release.registry import Change, Registry
from load.this_project import PROJECT
from tests.unit.inference.versions import CHANGE, offer

MANIFEST = {
    "definitions_hash": "h", "features": ["a"], "thresholds": {"review": 0.4, "decline": 0.8},
    "data": {"until_ms": 77, "rows": 1234}, "metrics": {"comparison": {"champion": {"gain": 0.03}}},
}  # fmt: skip
FILES = {"model.txt": b"tree", "golden.json": b"{}"}


def test_thresholds_training_and_gain_come_from_the_manifest(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    models = RegistryModels(PROJECT, registry)
    assert models.champion() is None
    assert models.thresholds("fraud/0001-nothing") is None
    entry = registry.add("fraud", FILES, dict(MANIFEST), Change(who="t", at_ms=1, why=""))
    assert models.thresholds(entry.id) == Thresholds(review=0.4, decline=0.8)
    assert models.gain(entry.id) == 0.03
    assert models.champion() is None
    registry.promote(entry.id, CHANGE)
    assert models.champion() == Training(model=entry.id, until_ms=77, labels=1234)


def test_the_policy_promotes_through_gates_shadow_first(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    models = RegistryModels(PROJECT, registry)
    first = offer(registry)
    second, third, peoples = (offer(registry, seed=seed, against=first) for seed in range(2, 5))
    assert models.promote(first, 5, "the policy says so") == "champion"
    assert (registry.audit()[-1]["who"], registry.audit()[-1]["at_ms"]) == ("retraining policy", 5)
    registry.promote(peoples, CHANGE, "shadow")
    assert models.promote(second, 6, "it is better") == "shadow"
    assert models.in_shadow() == [second]
    with pytest.raises(ModelError, match="shadow_scores: 0, limit 1000"):
        models.promote(second, 7, "")
    assert models.promote(third, 8, "it is better still") == "shadow"
    assert models.in_shadow() == [third], "the newer one takes its place"
    assert registry.find(second).stage == "retired"
    live = Report(source="scorer-0", at_ms=1, models={third: Figures(scores=2000)})
    write_report(tmp_path, live)
    assert models.promote(third, 9, "its gates hold") == "champion"
    assert models.in_shadow() == []
    assert registry.find(peoples).stage == "shadow", "what people try is left to them"


def test_the_policy_passes_no_gate_by(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    poor = offer(registry, report={})
    with pytest.raises(ModelError, match="E_GATE_REFUSED"):
        RegistryModels(PROJECT, registry).promote(poor, 5, "")
    assert registry.release().champion is None


def test_a_version_that_was_never_compared_has_no_gain(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    models = RegistryModels(PROJECT, registry)
    said = {key: value for key, value in MANIFEST.items() if key != "metrics"}
    entry = registry.add("fraud", FILES, said, Change(who="t", at_ms=1, why=""))
    assert models.gain(entry.id) is None


def test_names_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    assert RegistryModels(PROJECT, Registry(tmp_path)).thresholds("../elsewhere") is None


def test_a_registry_that_cannot_be_read_leaves_the_last_champion(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    models = RegistryModels(PROJECT, registry)
    entry = registry.add("fraud", FILES, dict(MANIFEST), Change(who="t", at_ms=1, why=""))
    registry.promote(entry.id, CHANGE)
    known = models.champion()
    for pointer in tmp_path.glob("*.json"):
        pointer.write_bytes(b"{")
    assert models.champion() == known
    assert known is not None
    assert models.in_shadow() == []
