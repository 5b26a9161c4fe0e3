"""The smallest change flips the decision when it is decided again, and no smaller single change does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from features.vector import vectors_of
from inference.offline.lake.lake import Lake
from inference.offline.replay.counterfactual import CHANGES_MAX, moving_of, smallest_change
from inference.offline.replay.explain import explain
from inference.offline.replay.recorded import rows_of, served_of, values_of
from inference.offline.replay.used_model import UsedModels
from inference.policy.engine import PolicyEngine
from inference.policy.rules import RuleBook
from inference.policy.store import find
from inference.release.registry import Registry
from load.this_project import PROJECT, SERVICE
from tests.unit.inference.conftest import Made
from tests.unit.inference.decided import decided_lake, registry_of


class Decided:
    """Decisions with what they were made by."""

    def __init__(self, lake: Lake, registry: Registry, records: list[bytes]) -> None:
        self.lake, self.registry = lake, registry
        self.said = [orjson.loads(record) for record in records]
        self.models = UsedModels(lake, registry)

    def some(self, count: int) -> list[dict[str, Any]]:
        """Return predictions of every kind of decision, none of them by a person or the gatekeeper."""
        found = []
        for decision in ("approve", "review", "decline"):
            alike = [
                one for one in self.said
                if one["decision"] == decision
                and one["decided_by"] != "override" and one["rung"] != "gatekeeper"
            ]  # fmt: skip
            found += alike[:: max(1, len(alike) // count)][:count]
        return found


@pytest.fixture(scope="module")
def decided(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Decided:
    folder = tmp_path_factory.mktemp("decided")
    registry = registry_of(made, folder / "models")
    lake, records = decided_lake(folder / "lake", registry)
    return Decided(lake, registry, records)


def _changed(vector: np.ndarray, changes: dict[str, float]) -> np.ndarray:
    """Change features and compute the derived ones again."""
    named = {name: np.array([vector[at]]) for at, name in enumerate(SERVICE.columns)}
    named |= {name: np.array([value]) for name, value in changes.items()}
    named |= vectors_of(PROJECT).derived_features(named)
    return np.column_stack([named[name] for name in SERVICE.columns])


def _decision(decided: Decided, one: dict[str, Any], vectors: np.ndarray) -> list[str]:
    """Decide without the engine: the severer of rules and thresholds."""
    engine = PolicyEngine(find(decided.registry.models, one["policy"]["sha256"], PROJECT), PROJECT)
    book = RuleBook(engine.rules, SERVICE.columns, PROJECT)
    severity = book.severity(book.judge(vectors, {}))
    model = decided.models.of(one).model
    if model is not None:
        review, decline = engine.thresholds_of(model)
        scores = model.predict(vectors)
        severity = np.maximum(severity, (scores >= review).astype(int) + (scores >= decline))
    return [engine.decisions.names[int(code)] for code in severity]


def test_a_change_that_is_told_flips_the_decision(decided: Decided) -> None:
    flipped = 0
    for one in decided.some(25):
        found = explain(decided.lake, decided.registry, one["prediction_id"]).counterfactual
        assert found is not None
        if not found.changes:
            assert found.why
            continue
        flipped += 1
        assert len(found.changes) <= CHANGES_MAX
        vector = values_of([one])[0]
        after = _changed(vector, {change.feature: change.other for change in found.changes})
        if one["policy"]["version"] != "2":  # no gatekeeper that might clear it
            assert _decision(decided, one, after) == [found.decision]
        assert found.decision != one["decision"]
        for change in found.changes:
            at = SERVICE.columns.index(change.feature)
            assert change.value == one["features"]["values"][at]
            assert change.distance > 0
    assert flipped > 50


def _gaps(decided: Decided, one: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Yield a value in every gap between a feature's thresholds, and what share of them lies between."""
    engine = PolicyEngine(find(decided.registry.models, one["policy"]["sha256"], PROJECT), PROJECT)
    model = decided.models.of(one).model
    vector = values_of([one])[0]
    for name in moving_of(PROJECT).columns:
        at = SERVICE.columns.index(name)
        marks = {figure for rule in engine.rules for feature, figure in rule.figures if feature == name}
        if model is not None:
            marks |= set(model.trees.thresholds[model.columns.index(at)].tolist())
        ends = sorted(marks)
        if np.isnan(vector[at]):
            continue
        place = int(np.searchsorted(ends, vector[at]))
        for gap, end in enumerate([*ends, (ends[-1] if ends else 0.0) + 1.0]):
            value = (
                float(np.floor(end)) if name in moving_of(PROJECT).whole else end
            )  # what lies between whole numbers is nowhere
            inside = int(np.searchsorted(ends, value)) == gap
            if gap != place and inside and value >= 0:
                yield name, value, abs(gap - place) / (len(ends) + 1)


def test_no_single_change_that_crosses_less_flips_the_decision(decided: Decided) -> None:
    tried = 0
    for one in decided.some(12):
        if one["policy"]["version"] == "2":
            continue  # people and a gatekeeper have their say
        found = explain(decided.lake, decided.registry, one["prediction_id"]).counterfactual
        assert found is not None
        least = found.changes[0].distance if len(found.changes) == 1 else np.inf
        vector = values_of([one])[0]
        smaller = [(name, value) for name, value, far in _gaps(decided, one) if far < least - 1e-6]
        if smaller:
            vectors = np.concatenate([_changed(vector, {name: value}) for name, value in smaller])
            flips = [
                move for move, d in zip(smaller, _decision(decided, one, vectors), strict=True)
                if d != one["decision"]
            ]  # fmt: skip
            assert flips == [], (one["prediction_id"], found)
            tried += 1
    assert tried > 5


def test_it_is_the_same_again_and_time_stays(decided: Decided) -> None:
    one = decided.some(3)[4]
    engine = PolicyEngine(find(decided.registry.models, one["policy"]["sha256"], PROJECT), PROJECT)
    model = decided.models.of(one).model
    given = engine, rows_of([one], PROJECT), values_of([one])[0], served_of([one], PROJECT), model
    assert smallest_change(*given) == smallest_change(*given)
    assert not {"hour_of_day", "is_night", "is_weekend"} & set(moving_of(PROJECT).columns)


def test_a_persons_decision_hangs_on_no_feature(decided: Decided) -> None:
    one = next(one for one in decided.said if one["decided_by"] == "override")
    found = explain(decided.lake, decided.registry, one["prediction_id"]).counterfactual
    assert found is not None
    assert (found.changes, found.decision) == ([], None)
    assert "person" in found.why


def test_an_explanation_has_the_policy_that_decided(decided: Decided, tmp_path: Path) -> None:
    one = next(one for one in decided.said if one["policy"]["version"] == "3")
    found = msgspec.to_builtins(explain(decided.lake, decided.registry, one["prediction_id"]))
    assert found["policy"]["thresholds"] == {"review": 0.05, "decline": 0.5}
    assert found["policy"]["sha256"] == one["policy"]["sha256"]
    assert found["policy"]["rules"]["amount_limit"]["figures"] == {"limit_minor": 1_000_000}
