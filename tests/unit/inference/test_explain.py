"""A decision is explained in full from files alone, and nothing personal is shown."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from contracts.errors import StateError
from features.vector import vectors_of
from headrace.commands.explain import lines
from inference.models.provenance import Provenance
from inference.offline.lake.lake import Lake
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.replay.explain import explain
from inference.offline.training import training_set
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from inference.release.registry import Change, Entry, Registry
from load.this_project import CHAIN, CUSTOMER, CUSTOMER_PROFILE, DEFINITIONS_HASH, PROJECT, SERVICE, TERMINAL
from streams.archive.parquet_files import file_path, write_whole
from streams.archive.rows import DeadLetterRows, JsonRows, RawPrediction
from tests.lake_maker import Record, make_lake
from tests.unit.inference.conftest import Made, events

ROW = 500
CHANGE = Change(who="tester", at_ms=1, why="because")


@pytest.fixture(scope="module")
def registry(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    data = training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))
    settings = TrainSettings(max_bin=63, rounds_max=10, rounds_patience=5, validation_share=0.25)
    trained = train(data, settings, Provenance())
    found = Registry(tmp_path_factory.mktemp("models"))
    found.promote(found.add("fraud", trained.files, trained.manifest, CHANGE).id, CHANGE)
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    payments, labels = events(count=1000)
    make_lake(tmp_path, payments, labels)
    return Lake(tmp_path, PROJECT)


def served(lake: Lake) -> dict[str, Any]:
    found: dict[str, Any] = lake.read("features").slice(ROW, 1).to_pylist()[0]
    return found


def decided(lake: Lake, model: Entry | None, text_sha256: str = "") -> dict[str, Any]:
    """Write a prediction for one payment of the lake and return it."""
    row = served(lake)
    event = {name: np.array([row[name]]) for name in ("amount_minor", "event_time")}
    stored = [np.array([[row[name] for name in names]]) for names in (CUSTOMER.columns, TERMINAL.columns)]
    no_profile = np.full((1, len(CUSTOMER_PROFILE.columns)), np.nan)
    vector = vectors_of(PROJECT).assemble(event, stored, no_profile)[0].tolist()
    prediction = {
        "prediction_id": "1-2-3", "event_id": row["transaction_id"],
        "keys": {"customer": row["customer_id"], "terminal": row["terminal_id"]}, "scored_at": 1,
        "event_time": row["event_time"], "risk_band": "high",
        "decision": "review", "decided_by": "model", "reasons": [], "rules": [], "shadow": [],
        "features": {
            "service": SERVICE.name, "definitions_hash": DEFINITIONS_HASH,
            "values": [None if np.isnan(v) else v for v in vector],
            "groups": {"customer": {"status": "exact", "age_ms": 0}},
        },
        "source": {"topic": "transactions", "partition": row["raw_partition"], "offset": row["raw_offset"]},
        "contract": "transactions/1.1.0", "degraded": False, "degraded_why": [], "latency_ms": {},
    }  # fmt: skip
    if model is not None:
        used = {"name": model.name, "version": model.version, "stage": "champion", "sha256": text_sha256}
        prediction |= {"score": 0.7, "model": used}
    record = Record(0, 1, b"", orjson.dumps(prediction))
    table = JsonRows(RawPrediction, CHAIN).table([record])  # type: ignore[list-item]
    write_whole(table, file_path(lake.folder, "predictions", 0, 0), 0, 1)
    return prediction


def test_a_scored_decision_shows_what_each_feature_added(lake: Lake, registry: Registry) -> None:
    entry = registry.find("champion")
    prediction = decided(lake, entry, registry.manifest(entry)["sha256"]["model.txt"])
    for sought in (prediction["prediction_id"], prediction["event_id"]):
        found = explain(lake, registry, sought)
        assert found.model is not None
        assert found.model["id"] == entry.id
        assert [row["name"] for row in found.features] == list(SERVICE.columns)
        assert found.base is not None
        assert all(isinstance(row["contribution"], float) for row in found.features)
        assert {row["status"] for row in found.features if row["group"] == "customer"} == {"exact"}
        formulas = {row["name"]: row["formula"] for row in found.features if row["formula"]}
        assert formulas["terminal_fraud_ratio_7d"] == "terminal_frauds_7d ÷ terminal_labels_7d"
        assert formulas.keys() == SERVICE.formulas.keys()


def test_a_null_that_training_never_met_is_named(lake: Lake, registry: Registry) -> None:
    entry = registry.find("champion")
    prediction = decided(lake, entry, registry.manifest(entry)["sha256"]["model.txt"])
    assert explain(lake, registry, prediction["prediction_id"]).model["nulls_never_met"] == []  # type: ignore[index]
    prediction["features"]["values"][SERVICE.columns.index("amount_minor")] = None
    table = JsonRows(RawPrediction, CHAIN).table([Record(0, 1, b"", orjson.dumps(prediction))])  # type: ignore[list-item]
    write_whole(table, file_path(lake.folder, "predictions", 0, 0), 0, 1)
    found = explain(lake, registry, prediction["prediction_id"])
    assert found.model is not None
    assert found.model["nulls_never_met"] == ["amount_minor"]
    assert any("never in training" in line for line in lines(msgspec.to_builtins(found)))


def test_the_raw_event_is_shown_without_what_is_personal(lake: Lake, registry: Registry) -> None:
    prediction = decided(lake, None)
    found = explain(lake, registry, prediction["prediction_id"])
    assert found.event is not None
    assert found.event["transaction_id"] == prediction["event_id"]
    assert found.event["email"] == "***"
    row = served(lake)
    assert found.places["customer_pos"] == row["customer_pos"]
    assert found.places["terminal_pos"] == row["terminal_pos"]


def test_a_decision_of_rules_alone_says_so(lake: Lake, registry: Registry) -> None:
    found = explain(lake, registry, decided(lake, None)["prediction_id"])
    assert (found.model, found.base) == (None, None)
    assert "rules alone" in found.model_why


def test_another_text_under_the_same_version_explains_nothing(lake: Lake, registry: Registry) -> None:
    decided(lake, registry.find("champion"), "0" * 64)
    assert "another text" in explain(lake, registry, "1-2-3").model_why


def test_an_unknown_id_says_what_is_known(lake: Lake, registry: Registry) -> None:
    with pytest.raises(StateError, match="E_EXPLAIN_UNKNOWN"):
        explain(lake, registry, "nobody")
    with pytest.raises(StateError, match="E_EXPLAIN_UNDECIDED"):
        explain(lake, registry, "t3")


def test_a_refused_payment_says_why(lake: Lake, registry: Registry) -> None:
    raw = lake.find("transactions", "transaction_id", "t3")
    assert raw is not None
    folder = file_path(lake.folder, "transactions_dlq", 0, 0)
    table = DeadLetterRows().table([])
    row = {name: [None] for name in table.column_names} | {
        "offset": [0], "code": ["E_RANGE"], "reason": ["too much"], "origin_partition": [raw["partition"]],
        "origin_offset": [raw["offset"]],
    }  # fmt: skip
    folder.parent.mkdir(parents=True)
    pq.write_table(table.from_pydict(row, table.schema), folder)
    with pytest.raises(StateError, match="E_RANGE, too much"):
        explain(lake, registry, "t3")


def test_of_several_decisions_on_one_id_the_newest_is_shown_and_the_others_are_named(
    lake: Lake, registry: Registry
) -> None:
    """The id again after 24 h, and the same id of another customer, in another partition's file."""
    first = decided(lake, None) | {"scored_at": 10}
    again = first | {
        "prediction_id": "1-2-4",
        "scored_at": 30,
        "event_time": first["event_time"] + 90_000_000,
    }
    other = first | {"prediction_id": "1-0-9", "scored_at": 20}
    other["keys"] = first["keys"] | {"customer": "somebody else"}
    for partition, said in ((0, (first, again)), (1, (other,))):
        records = [Record(at, 1, b"", orjson.dumps(one)) for at, one in enumerate(said)]
        table = JsonRows(RawPrediction, CHAIN).table(records)  # type: ignore[arg-type]
        write_whole(table, file_path(lake.folder, "predictions", partition, 0), 0, len(records))
    found = explain(lake, registry, first["event_id"])
    assert found.prediction["prediction_id"] == "1-2-4"
    assert [row["prediction_id"] for row in found.others] == ["1-0-9", "1-2-3"]
    assert found.predictions_of_event == 3
    said = lines(msgspec.to_builtins(found))
    assert any("2 more with event id" in line and "the newest" in line for line in said)
    assert any("headrace explain 1-0-9" in line and "customer somebody else" in line for line in said)
    assert any("headrace explain 1-2-3" in line and "the same keys" in line for line in said)
    asked = explain(lake, registry, "1-2-3")
    assert asked.prediction["prediction_id"] == "1-2-3"
    assert [row["prediction_id"] for row in asked.others] == ["1-2-4", "1-0-9"]
    assert any("above is the one asked for" in line for line in lines(msgspec.to_builtins(asked)))
