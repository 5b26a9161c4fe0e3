"""A version comes from what its manifest says, or the difference is told; versions are compared fairly."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from contracts.errors import ModelError
from inference.models.manifest import REPORT_FILE, REPORT_PAGE_FILE, Champion, digest
from inference.models.provenance import Provenance
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.compare import Side, compare
from inference.offline.training.reproduce import reproduce
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import Trained, train
from inference.offline.training.training_set import TrainingSet
from inference.release.champion import Definitions, load_champion
from inference.release.registry import Change, Registry
from tests.unit.inference.conftest import Made

SETTINGS = TrainSettings(
    max_bin=255, rounds_max=60, rounds_patience=15, search_trials=1, validation_share=0.3, holdout_share=0.3
)


@pytest.fixture(scope="module")
def data(made: Made) -> TrainingSet:
    return training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))


@pytest.fixture(scope="module")
def trained(data: TrainingSet) -> Trained:
    return train(data, SETTINGS, Provenance())


def stored(trained: Trained) -> dict[str, Any]:
    return trained.manifest | {"sha256": {name: digest(data) for name, data in trained.files.items()}}


def test_the_same_manifest_gives_the_same_bytes(made: Made, trained: Trained) -> None:
    again = reproduce("fraud/1", stored(trained), made.lake, NoProfileHistory(), Provenance())
    assert again.equal
    assert not again.inputs


def test_another_seed_or_data_is_told(made: Made, trained: Trained) -> None:
    manifest = stored(trained)
    manifest["settings"] = manifest["settings"] | {"seed": 7}
    manifest["data_hash"] = "another"
    again = reproduce("fraud/1", manifest, made.lake, NoProfileHistory(), Provenance())
    assert not again.equal
    assert again.inputs["data_hash"][0] == "another"


def test_a_manifest_that_says_too_little_is_refused(made: Made) -> None:
    with pytest.raises(ModelError, match="E_MODEL_REPRODUCE"):
        reproduce("fraud/1", {"sha256": {}}, made.lake, NoProfileHistory(), Provenance())


def test_the_holdout_is_judged_by_trees_that_never_saw_it(data: TrainingSet, trained: Trained) -> None:
    about = trained.manifest["data"]
    assert trained.manifest["metrics"]["judged_on"] == "holdout"
    assert about["holdout_rows"] == int((data.event_ms > about["holdout_from_ms"]).sum())
    changed = np.where(data.event_ms > about["holdout_from_ms"], 1 - data.positive, data.positive)
    frauds = int(changed[data.event_ms > about["holdout_from_ms"]].sum())
    other = TrainingSet(
        project=data.project, vectors=data.vectors, positive=changed, event_ms=data.event_ms,
        label_ms=data.label_ms, key=data.key, until_ms=data.until_ms, data_hash="changed",
    )  # fmt: skip
    assert frauds > 0
    again = train(other, SETTINGS, Provenance())
    assert again.manifest["thresholds"] == trained.manifest["thresholds"]
    assert again.files["calibration.json"] == trained.files["calibration.json"]
    assert again.manifest["parameters"] == trained.manifest["parameters"]


def test_the_model_beats_both_baselines_and_the_report_says_so(trained: Trained) -> None:
    report = orjson.loads(trained.files[REPORT_FILE])
    for name in ("constant", "logistic_regression"):
        assert report["comparison"][name]["gain"] > 0
    assert {row["change"] for row in report["robustness"]} >= {"without_terminal", "amounts_doubled"}
    assert all(row["finite"] for row in report["robustness"])
    assert len(report["tried"]) == 2
    assert b"<svg" in trained.files[REPORT_PAGE_FILE]


def test_versions_are_compared_on_payments_younger_than_both(tmp_path: Path, data: TrainingSet) -> None:
    middle = int(np.quantile(data.event_ms, 0.6))
    known = data.label_ms <= middle
    early = TrainingSet(
        project=data.project, vectors=data.vectors[known], positive=data.positive[known],
        event_ms=data.event_ms[known], label_ms=data.label_ms[known], key=data.key[known],
        until_ms=middle, data_hash="early",
    )  # fmt: skip
    sides = [
        side(tmp_path, early, TrainSettings(max_bin=255, rounds_max=rounds, rounds_patience=15))
        for rounds in (60, 1)
    ]
    found = compare(data, *sides)
    assert found.rows == int((data.event_ms > middle).sum())
    assert found.gain["gain"] > 0
    assert set(found.learnt.values()) == {0}
    begin_ms = int(np.quantile(data.event_ms, 0.3))
    flattered = compare(data, *sides, from_ms=begin_ms)
    learnt = int((known & (data.event_ms > begin_ms)).sum())
    assert learnt > 0
    assert flattered.learnt == dict.fromkeys((one.id for one in sides), learnt), "asked for, and said"
    with pytest.raises(ModelError, match="E_MODEL_COMPARE"):
        compare(data, *sides, from_ms=int(data.event_ms[-1]))


def side(models: Path, data: TrainingSet, settings: TrainSettings) -> Side:
    registry = Registry(models)
    trained = train(data, settings, Provenance())
    entry = registry.add("fraud", trained.files, trained.manifest, Change(who="t", at_ms=1, why=""))
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    meant = Definitions(trained.manifest["definitions_hash"], tuple(trained.manifest["features"]))
    return Side(id=entry.id, model=load_champion(models, pointer, meant), manifest=trained.manifest)
