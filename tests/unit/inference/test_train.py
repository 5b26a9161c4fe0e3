"""A training is a function of its data, is served as it was trained, and learns what is there."""

from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ModelError
from inference.drift.baseline import decode
from inference.drift.full_windows import LONG_AGO, NEVER_MS, from_ms, reaches_of
from inference.drift.season import CALENDAR
from inference.models.manifest import BASELINE_FILE, Champion, bands
from inference.models.model import baseline_of
from inference.models.provenance import Provenance
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.metrics_offline import average_precision
from inference.offline.training.reproduce import REPRODUCED
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import Rival, Trained, thresholds, train
from inference.offline.training.training_set import TrainingSet
from inference.offline.training.usual import labelled_alike
from inference.release.champion import Definitions, load_champion
from inference.release.registry import Change, Registry
from load.this_project import DEFINITIONS_HASH, PROJECT, SERVICE
from tests.unit.inference.conftest import Made

SETTINGS = TrainSettings(max_bin=255, rounds_max=80, rounds_patience=15, validation_share=0.25)


@pytest.fixture(scope="module")
def data(made: Made) -> TrainingSet:
    found = training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))
    return msgspec.structs.replace(found, began=LONG_AGO)


@pytest.fixture(scope="module")
def trained(data: TrainingSet) -> Trained:
    return train(data, SETTINGS, Provenance.of())


def test_equal_data_gives_equal_bytes(data: TrainingSet, trained: Trained) -> None:
    again = train(data, SETTINGS, Provenance.of())
    for name in REPRODUCED:
        assert again.files[name] == trained.files[name], name
    assert again.manifest == trained.manifest


def test_the_pattern_is_learnt_and_judged_on_later_payments(data: TrainingSet, trained: Trained) -> None:
    chance = average_precision(data.positive, np.zeros(len(data)))
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
    begin_ms = min(trained.manifest["data"]["validation_from_ms"], int(data.event_ms[-1]) - 28 * 86_400_000)
    newest = (data.event_ms > begin_ms) & labelled_alike(data)
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


def test_the_last_days_with_early_labels_alone_are_no_part_of_what_is_usual(data: TrainingSet) -> None:
    """Frauds are known within a day, the others after ten: of the last days only frauds are there."""
    days, rows = 40, 40 * 200
    event_ms = data.event_ms[0] + np.arange(rows) * (days * 86_400_000 // rows)
    fraud = (np.arange(rows) % 20 == 0).astype(np.int64)
    label_ms = event_ms + np.where(fraud == 1, 1, 10) * 86_400_000
    until_ms = int(event_ms[-1])
    there = label_ms <= until_ms
    some = msgspec.structs.replace(
        data, vectors=np.zeros((int(there.sum()), data.vectors.shape[1])), positive=fraud[there],
        event_ms=event_ms[there], label_ms=label_ms[there], until_ms=until_ms,
    )  # fmt: skip
    kept = labelled_alike(some)
    assert some.positive[~kept].mean() == 1.0
    assert some.positive[kept].mean() == pytest.approx(0.05, abs=0.005)


def test_a_baseline_leaves_out_what_was_not_full(data: TrainingSet, made: Made) -> None:
    lake_ms = training_set.newest_ms(made.lake)
    young = training_set.build(made.lake, NoProfileHistory(), lake_ms)
    assert young.began.events_ms is not None
    assert young.began.events_ms <= int(data.event_ms[0]) + 86_400_000
    names = {c.name for c in decode(train(young, SETTINGS, Provenance.of()).files[BASELINE_FILE], "").columns}
    last_ms = int(young.event_ms[-1])
    assert "amount_minor" in names
    assert {"customer_count_1h", "customer_count_24h"} <= names
    for name in names - {"score"}:
        assert from_ms(reaches_of(young.project).reach_of(name), young.began) < last_ms, name
    unknown = msgspec.structs.replace(young, began=young.began._replace(labels_ms=NEVER_MS))
    usual = decode(train(unknown, SETTINGS, Provenance.of()).files[BASELINE_FILE], "")
    assert not any("labels" in column.name for column in usual.columns)


def test_a_damaged_baseline_is_refused_though_its_digest_is_right(tmp_path: Path, trained: Trained) -> None:
    files = trained.files | {BASELINE_FILE: trained.files[BASELINE_FILE][:-9]}
    entry = Registry(tmp_path).add("fraud", files, trained.manifest, Change(who="t", at_ms=1, why=""))
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    with pytest.raises(ModelError) as refused:
        load_champion(tmp_path, pointer, Definitions(DEFINITIONS_HASH, SERVICE.columns))
    assert refused.value.code == "E_MODEL_BASELINE"


def test_a_champion_is_compared_with_on_the_rows_that_neither_has_learnt(data: TrainingSet) -> None:
    asked = []

    def champion(vectors: np.ndarray) -> np.ndarray:
        asked.append(len(vectors))
        return np.full(len(vectors), 0.1)

    until_ms = int(np.quantile(data.label_ms, 0.9))
    told = train(data, SETTINGS, Provenance.of(), Rival("fraud/1", champion, until_ms)).manifest
    judged = data.event_ms > told["data"]["holdout_from_ms"]
    if told["metrics"]["judged_on"] != "holdout":
        judged = data.event_ms > told["data"]["validation_from_ms"]
    learnt = judged & (data.label_ms <= until_ms)
    found = told["metrics"]["comparison"]["champion"]
    assert (found["against"], found["rows_it_has_learnt"]) == ("fraud/1", int(learnt.sum()))
    assert asked == [found["rows"]] == [int((judged & ~learnt).sum())]
    assert found["gain"] > 0
    assert 0 < found["rows"] < judged.sum()


def test_a_champion_that_has_learnt_everything_is_not_compared_with(data: TrainingSet) -> None:
    def memory(vectors: np.ndarray) -> np.ndarray:
        raise AssertionError("it knows the answers")

    report = train(data, SETTINGS, Provenance.of(), Rival("fraud/1", memory, int(data.label_ms.max())))
    found = report.manifest["metrics"]["comparison"]["champion"]
    assert (found["rows"], found["gain"], found["code"]) == (0, None, "E_MODEL_COMPARE")
    assert "0 positives among 0 labelled events that neither has learnt" in found["why"]
    assert "cannot be compared" in report.files["report.html"].decode()


def test_a_null_that_training_never_met_is_no_zero(data: TrainingSet, trained: Trained) -> None:
    never = trained.manifest["features_never_null"]
    assert "amount_minor" in never
    assert {name for name in SERVICE.columns if name not in never} == {
        name for name, met in zip(SERVICE.columns, np.isnan(data.vectors).any(axis=0), strict=True) if met
    }
    trees = lightgbm.Booster(model_str=trained.files["model.txt"].decode()).dump_model()["tree_info"]
    stack = [tree["tree_structure"] for tree in trees]
    while stack:
        node = stack.pop()
        if "split_feature" in node:
            assert node["missing_type"] == "NaN", SERVICE.columns[node["split_feature"]]
            stack += [node["left_child"], node["right_child"]]


def test_the_manifest_says_where_the_model_comes_from(data: TrainingSet, trained: Trained) -> None:
    said = trained.manifest
    assert said["data_hash"] == data.data_hash
    assert said["definitions_hash"] == DEFINITIONS_HASH
    assert said["features"] == list(SERVICE.columns)
    assert len(said["lock_hash"]) == 64
    assert said["parameters"]["seed"] == said["seed"] == SETTINGS.seed


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60), st.floats(0, 1))
def test_no_more_is_reviewed_than_people_can_look_at_however_many_scores_are_equal(
    rows: list[tuple[int, bool]], share: float
) -> None:
    score, fraud = np.array([s / 4 for s, _ in rows]), np.array([f for _, f in rows], np.int64)
    found = thresholds(fraud, score, TrainSettings(review_share=share), PROJECT.decisions)
    decided = bands(score, tuple(found.values()))
    assert (decided == 1).sum() <= (decided != 2).sum() * share
    declined = fraud[decided == 2]
    assert not len(declined) or declined.mean() >= TrainSettings().decline_precision_min


def test_a_thousand_equal_scores_do_not_go_to_people_who_can_look_at_fifty() -> None:
    fraud, score = np.zeros(5000, np.int64), np.repeat([0.3, 0.1], [1000, 4000])
    assert thresholds(fraud, score, TrainSettings(review_share=0.01), PROJECT.decisions)["review"] == 1.0
    assert thresholds(fraud, score, TrainSettings(review_share=0.2), PROJECT.decisions)["review"] == 0.3


def test_nothing_is_declined_when_no_score_is_sure_enough() -> None:
    found = thresholds(
        np.array([0, 1, 0, 0]),
        np.array([0.9, 0.5, 0.4, 0.1]),
        TrainSettings(review_share=0.25),
        PROJECT.decisions,
    )
    assert tuple(found.values()) == (0.9, 1.0)
