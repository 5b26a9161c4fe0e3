"""Decisions are computed again bit for bit, and a fault anywhere on the way is named."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import StateError
from inference.offline.lake.lake import Lake
from inference.offline.lake.sample import draw
from inference.offline.replay.explain import explain
from inference.offline.replay.replay import Replay, Replayed
from inference.policy.store import FOLDER
from inference.release.registry import Registry
from load.this_project import CUSTOMER_PROFILE, PROJECT
from tests.unit.inference.conftest import Made
from tests.unit.inference.decided import decided_lake, registry_of
from tests.unit.inference.support import EPOCH


class Whole:
    """A decided lake and its registry; `copy` gives a test one to break."""

    def __init__(self, folder: Path, lake: Lake, registry: Registry, records: list[bytes]) -> None:
        self.folder, self.lake, self.registry, self.records = folder, lake, registry, records
        self.said = [orjson.loads(record) for record in records]

    def copy(self, folder: Path) -> tuple[Lake, Registry]:
        """Return copies of lake and registry."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Lake(folder / "lake", PROJECT), Registry(folder / "models")

    def first(self, **asked: Any) -> int:
        """Return the first prediction whose fields are as asked."""
        return next(
            at
            for at, one in enumerate(self.said)
            if all(one.get(name) == value for name, value in asked.items())
        )


@pytest.fixture(scope="module")
def whole(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    registry = registry_of(made, folder / "models")
    lake, records = decided_lake(folder / "lake", registry)
    return Whole(folder, lake, registry, records)


def _wrong(outcomes: list[Replayed]) -> dict[str, list[str]]:
    return {one.prediction_id: [part.what for part in one.differences] for one in outcomes if not one.equal}


def test_every_decision_is_computed_again_in_every_bit(whole: Whole) -> None:
    outcomes = Replay(whole.lake, whole.registry, EPOCH).run(whole.records)
    assert _wrong(outcomes) == {}
    assert len(outcomes) == 1500
    for name, least in (("rung", 5), ("decided_by", 4 - 1), ("decision", 3)):
        assert len({one[name] for one in whole.said}) >= least, name
    assert any(reason["code"] == "NOT_EXPLAINED" for one in whole.said for reason in one["reasons"])
    assert {one["features"]["groups"]["profile"]["status"] for one in whole.said} == {
        "default",
        "store",
        "stale",
    }


def test_a_random_draw_is_the_same_again_and_without_repeats(whole: Whole) -> None:
    drawn = draw(whole.lake, "predictions", 300, seed=1)
    assert drawn == draw(whole.lake, "predictions", 300, seed=1)
    assert drawn != draw(whole.lake, "predictions", 300, seed=2)
    assert len(set(drawn)) == 300
    assert draw(whole.lake, "predictions", 10_000, seed=1) == whole.records
    assert {one.equal for one in Replay(whole.lake, whole.registry, EPOCH).run(drawn)} == {True}


def _value(one: dict[str, Any], at: int) -> None:
    one["features"]["values"][at] = (one["features"]["values"][at] or 0.0) + 1e-9


@pytest.mark.parametrize(
    ("what", "plant"),
    [
        ("score", lambda one: one.update(score=one["score"] + 1e-12)),
        ("decision", lambda one: one.update(decision="decline")),
        ("decided_by", lambda one: one.update(decided_by="override")),
        ("risk_band", lambda one: one.update(risk_band="medium")),
        ("rung", lambda one: one.update(rung="own_row")),
        ("rules", lambda one: one["rules"][0].update(outcome="error")),
        ("reasons", lambda one: one["reasons"].append({"code": "X", "text": "y"})),
        ("features.amount_minor", lambda one: _value(one, 0)),
        ("features.customer_count_1h", lambda one: _value(one, 4)),
        ("keys", lambda one: one["keys"].update(customer="c0")),
        ("event_id", lambda one: one.update(event_id="t")),
        ("event_time", lambda one: one.update(event_time=one["event_time"] + 1)),
        ("prediction_id", lambda one: one.update(prediction_id="1-2-3")),
        ("contract", lambda one: one.update(contract="transactions/9.9.9")),
        ("degraded", lambda one: one.update(degraded=True)),
        ("traceparent", lambda one: one.update(traceparent="0" * 55)),
    ],
)  # fmt: skip
def test_a_fault_planted_in_the_record_is_named(whole: Whole, what: str, plant: Any) -> None:
    at = whole.first(rung="full", decision="approve", risk_band="low")
    one = orjson.loads(whole.records[at])
    plant(one)
    (outcome,) = Replay(whole.lake, whole.registry, EPOCH).run([orjson.dumps(one)])
    assert what in [part.what for part in outcome.differences]


def _rewrite(path: Path, column: str, change: Any) -> None:
    """Change a column's values in a file of the lake, and what raw records say of it."""
    about = pq.read_metadata(path).metadata or {}
    metadata = {name: text for name, text in about.items() if name != b"ARROW:schema"}
    table = pq.ParquetFile(path).read()
    at = table.column_names.index(column)
    values = pa.array([change(value) for value in table[column].to_pylist()], table.schema.field(column).type)
    table = table.set_column(at, column, values)
    if "value" in table.column_names:
        pairs = zip(table["value"].to_pylist(), values.to_pylist(), strict=True)
        records = [orjson.dumps(orjson.loads(record) | {column: said}) for record, said in pairs]
        table = table.set_column(table.column_names.index("value"), "value", pa.array(records, pa.binary()))
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_a_fault_planted_in_the_raw_payments_is_found(whole: Whole, tmp_path: Path) -> None:
    lake, registry = whole.copy(tmp_path)
    for path in (lake.folder / "transactions").rglob("*.parquet"):
        _rewrite(path, "amount_minor", lambda amount: amount + 1)
    wrong = _wrong(Replay(lake, registry, EPOCH).run(whole.records[:100]))
    assert len(wrong) == 100
    assert all("features.amount_minor" in parts for parts in wrong.values())


def test_a_label_that_was_another_is_found(whole: Whole, tmp_path: Path) -> None:
    lake, registry = whole.copy(tmp_path)
    for path in (lake.folder / "labels").rglob("*.parquet"):
        _rewrite(path, "label", lambda label: "legitimate" if label == "fraud" else "fraud")
    wrong = _wrong(Replay(lake, registry, EPOCH).run(whole.records))
    assert any(part.startswith("features.terminal_frauds") for parts in wrong.values() for part in parts)


def test_a_snapshot_that_was_another_or_is_gone_is_found(whole: Whole, tmp_path: Path) -> None:
    lake, registry = whole.copy(tmp_path)
    (path,) = (lake.folder / CUSTOMER_PROFILE.name).glob("*.parquet")
    served = [
        at for at, one in enumerate(whole.said) if one["features"]["groups"]["profile"]["status"] != "default"
    ]
    records = [whole.records[at] for at in served]
    _rewrite(path, "profile_amount_mean", lambda mean: mean * 2)
    wrong = _wrong(Replay(lake, registry, EPOCH).run(records))
    assert all("features.profile_amount_mean" in parts for parts in wrong.values())
    assert len(wrong) == len(records) > 10
    path.unlink()
    assert set(map(tuple, _wrong(Replay(lake, registry, EPOCH).run(records)).values())) == {("log",)}


def test_a_policy_that_is_gone_or_damaged_is_named(whole: Whole, tmp_path: Path) -> None:
    lake, registry = whole.copy(tmp_path)
    at = next(at for at, one in enumerate(whole.said) if one["policy"]["version"] == "3")
    path = registry.models / FOLDER / f"{whole.said[at]['policy']['sha256']}.yaml"
    path.write_bytes(path.read_bytes() + b"\n")
    assert list(_wrong(Replay(lake, registry, EPOCH).run([whole.records[at]])).values()) == [["policy"]]
    path.unlink()
    assert list(_wrong(Replay(lake, registry, EPOCH).run([whole.records[at]])).values()) == [["policy"]]
    assert explain(lake, registry, whole.said[at]["prediction_id"]).counterfactual is None


def test_a_model_that_is_gone_or_another_is_named(whole: Whole, tmp_path: Path) -> None:
    lake, registry = whole.copy(tmp_path)
    at = whole.first(rung="full")
    one = orjson.loads(whole.records[at])
    one["model"]["sha256"] = "0" * 64
    assert list(_wrong(Replay(lake, registry, EPOCH).run([orjson.dumps(one)])).values()) == [["model"]]
    shutil.rmtree(registry.models / "fraud")
    assert list(_wrong(Replay(lake, registry, EPOCH).run([whole.records[at]])).values()) == [["model"]]


def test_a_payment_that_is_not_in_the_log_is_named(whole: Whole) -> None:
    one = orjson.loads(whole.records[0])
    one["source"]["offset"] = 1 << 30
    (outcome,) = Replay(whole.lake, whole.registry, EPOCH).run([orjson.dumps(one)])
    assert [part.what for part in outcome.differences] == ["log"]


def test_a_shadow_score_is_computed_again(whole: Whole) -> None:
    at = whole.first(rung="full")
    one = orjson.loads(whole.records[at])
    name = f"{one['model']['name']}/{one['model']['version']}"
    one["shadow"] = [{"model": name, "score": one["score"]}]
    replay = Replay(whole.lake, whole.registry, EPOCH)
    assert replay.run([orjson.dumps(one)])[0].equal
    one["shadow"][0]["score"] += 1e-9
    assert [part.what for part in replay.run([orjson.dumps(one)])[0].differences] == [f"shadow {name}"]


def test_an_empty_lake_says_what_to_do(whole: Whole, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="E_LAKE_EMPTY"):
        draw(Lake(tmp_path, PROJECT), "predictions", 5, seed=0)
    with pytest.raises(StateError, match="E_LAKE_EMPTY"):
        Replay(Lake(tmp_path, PROJECT), whole.registry, EPOCH).run(whole.records[:1])
    assert Replay(whole.lake, whole.registry, EPOCH).run([]) == []
