"""What window features gain is told beside the same model without them, on the same rows and split."""

from typing import Any

import msgspec
import numpy as np
import pytest

from inference.models.manifest import MODEL_FILE
from inference.models.provenance import Provenance
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.event_alone import columns_of_event, of_event_alone
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import Trained, train
from inference.offline.training.training_set import TrainingSet
from load.this_project import SERVICE
from tests.unit.inference.conftest import Made

SETTINGS = TrainSettings(max_bin=255, rounds_max=80, rounds_patience=15, validation_share=0.25)


@pytest.fixture(scope="module")
def data(made: Made) -> TrainingSet:
    return training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))


@pytest.fixture(scope="module")
def both(data: TrainingSet) -> Trained:
    return train(data, SETTINGS, Provenance.of(), event_alone=True)


def told(trained: Trained) -> dict[str, Any]:
    found: dict[str, Any] = trained.manifest["metrics"]["comparison"]["event_alone"]
    return found


def test_inputs_of_the_event_stay_and_all_others_are_null(data: TrainingSet) -> None:
    alone = of_event_alone(data.vectors, SERVICE)
    kept = [SERVICE.columns.index(name) for name in columns_of_event(SERVICE)]
    assert columns_of_event(SERVICE) == ("amount_minor", "hour_of_day", "is_night", "is_weekend")
    assert np.array_equal(alone[:, kept], data.vectors[:, kept], equal_nan=True)
    assert np.isnan(np.delete(alone, kept, axis=1)).all()


def test_the_model_beside_it_is_the_one_that_the_event_alone_trains(data: TrainingSet, both: Trained) -> None:
    without = msgspec.structs.replace(data, vectors=of_event_alone(data.vectors, SERVICE))
    other = train(without, SETTINGS, Provenance.of()).manifest["metrics"]
    assert told(both)["average_precision"] == both.manifest["metrics"]["average_precision"]
    assert told(both)["other_average_precision"] == other["average_precision"]
    assert told(both)["gain"] > 0
    assert told(both)["rounds"] > 0


def test_the_model_that_ships_is_the_same_with_and_without_the_comparison(
    data: TrainingSet, both: Trained
) -> None:
    assert train(data, SETTINGS, Provenance.of()).files[MODEL_FILE] == both.files[MODEL_FILE]
