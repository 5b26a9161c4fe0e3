"""A training is a function of its data, is served as it was trained, and learns what is there."""

from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ModelError
from features.catalog import DEFINITIONS_HASH, SERVICE
from inference.drift.baseline import decode
from inference.drift.season import CALENDAR
from inference.lake.profile_history import NoProfileHistory
from inference.models.manifest import BASELINE_FILE, Champion
from inference.models.model import baseline_of
from inference.models.provenance import Provenance
from inference.release.champion import Definitions, load_champion
from inference.release.registry import Change, Registry
from inference.training import training_set
from inference.training.metrics_offline import average_precision
from inference.training.reproduce import REPRODUCED
from inference.training.settings import TrainSettings
from inference.training.train import Trained, thresholds, train
from inference.training.training_set import TrainingSet
from tests.unit.inference.conftest import Made

SETTINGS = TrainSettings(max_bin=255, rounds_max=80, rounds_patience=15, validation_share=0.25)


@pytest.fixture(scope="module")
def data(made: Made) -> TrainingSet:
    return training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))


@pytest.fixture(scope="module")
def trained(data: TrainingSet) -> Trained:
    return train(data, SETTINGS, Provenance.of())


def test_equal_data_gives_equal_bytes(data: TrainingSet, trained: Trained) -> None:
    again = train(data, SETTINGS, Provenance.of())
    for name in REPRODUCED:
        assert again.files[name] == trained.files[name], name
    assert again.manifest == trained.manifest


def test_the_pattern_is_learnt_and_judged_on_later_payments(data: TrainingSet, trained: Trained) -> None:
    chance = average_precision(data.fraud, np.zeros(len(data)))
    assert trained.manifest["metrics"]["average_precision"] > 3 * chance
    assert trained.manifest["data"]["embargo"]


def test_the_scorer_loads_what_training_wrote(tmp_path: Path, data: TrainingSet, trained: Trained) -> None:
    entry = Registry(tmp_path).add("fraud", trained.files, trained.manifest, Change(who="t", at_ms=1, why=""))
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    model = load_champion(tmp_path, pointer, Definitions(DEFINITIONS_HASH, SERVICE.columns))
    scores = model.predict(data.vectors[:50])
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_baseline_ships_with_the_model_and_tells_what_was_usual(
    tmp_path: Path, data: TrainingSet, trained: Trained
) -> None:
    usual = decode(trained.files[BASELINE_FILE], "")
    names = [column.name for column in usual.columns]
    assert names == [name for name in SERVICE.columns if name not in CALENDAR] + ["score"]
    newest = data.event_ms > trained.manifest["data"]["validation_from_ms"]
    assert usual.rows == int(newest.sum())
    amount = usual.columns[names.index("amount_minor")]
    assert [sum(row) for row in amount.counts] == amount.rows  # an amount is never null
    values = data.vectors[newest, SERVICE.columns.index("amount_minor")]
    first = sum(row[0] for row in amount.counts)
    assert first == int((values < amount.edges[0]).sum())
    assert 0 < max(usual.shares["refused"]) < 0.2
    registry = Registry(tmp_path)
    entry = registry.add("fraud", trained.files, trained.manifest, Change(who="t", at_ms=1, why=""))
    assert BASELINE_FILE in registry.manifest(entry)["sha256"]
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    model = load_champion(tmp_path, pointer, Definitions(DEFINITIONS_HASH, SERVICE.columns))
    assert baseline_of(model) == usual


def test_a_damaged_baseline_is_refused_though_its_digest_is_right(tmp_path: Path, trained: Trained) -> None:
    files = trained.files | {BASELINE_FILE: trained.files[BASELINE_FILE][:-9]}
    entry = Registry(tmp_path).add("fraud", files, trained.manifest, Change(who="t", at_ms=1, why=""))
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    with pytest.raises(ModelError) as refused:
        load_champion(tmp_path, pointer, Definitions(DEFINITIONS_HASH, SERVICE.columns))
    assert refused.value.code == "E_MODEL_BASELINE"


def test_a_report_says_how_much_the_champion_may_have_learnt_of_what_judges(data: TrainingSet) -> None:
    def champion(vectors: np.ndarray) -> np.ndarray:
        return np.full(len(vectors), 0.1)

    known_ms = int(np.quantile(data.label_ms, 0.9))
    told = train(data, SETTINGS, Provenance.of(), champion, champion_until_ms=known_ms).manifest
    judged = data.event_ms > told["data"]["holdout_from_ms"]
    if told["metrics"]["judged_on"] != "holdout":
        judged = data.event_ms > told["data"]["validation_from_ms"]
    share = float((data.label_ms[judged] <= known_ms).mean())
    assert told["metrics"]["comparison"]["champion"]["learnt_share"] == share
    assert 0 < share < 1


def test_the_manifest_says_where_the_model_comes_from(data: TrainingSet, trained: Trained) -> None:
    said = trained.manifest
    assert said["data_hash"] == data.data_hash
    assert said["definitions_hash"] == DEFINITIONS_HASH
    assert said["features"] == list(SERVICE.columns)
    assert len(said["lock_hash"]) == 64
    assert said["parameters"]["seed"] == said["seed"] == SETTINGS.seed


def test_nothing_is_declined_when_no_score_is_sure_enough() -> None:
    found = thresholds(
        np.array([0, 1, 0, 0]), np.array([0.9, 0.5, 0.4, 0.1]), TrainSettings(review_share=0.25)
    )
    assert (found.review, found.decline) == (0.9, 1.0)
