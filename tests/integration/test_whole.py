"""The whole, once: malformed input among payments, every worker real, what came out judged from outside."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer

from contracts import topics
from contracts.connections import KafkaConnection
from contracts.frame import Columns, Kind, concat
from features.definition import Entity
from inference.models.manifest import MODEL_FILE
from inference.offline.lake.lake import Lake
from inference.offline.replay.explain import explain
from inference.release.registry import Registry
from load.oracle.windows import KeyOracle
from load.this_project import CUSTOMER, PROJECT, TERMINAL
from runtime.run import Run
from streams.store.feast.repository import open_store
from tests.integration.stage_log import accepted, read_topic
from tests.real_servers import RealServers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]


class Whole:
    """A finished demo on the session's servers: its run, its summary and how to call commands on it."""

    def __init__(self, servers: RealServers, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "HEADRACE_ROOT": str(folder),
            "HEADRACE_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "HEADRACE_REDIS_URL": f"{servers.redis_url}/0",  # a database that `run` does not hand out
        }
        self.kafka = KafkaConnection(bootstrap_servers=servers.bootstrap_servers)
        summary = folder / "summary.json"
        words = ("--workload", "lesson", "--malformed", "0.05")
        self.said = self.headrace("demo", *words, "--json", str(summary))
        self.summary: dict[str, Any] = json.loads(summary.read_text())
        self.run = Run.current(folder)
        self._rows: dict[int, list[Columns]] = {}

    def headrace(self, *words: str, code: int = 0) -> str:
        """Run a command, which must end with `code`, and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "headrace", *words],
            capture_output=True, text=True, timeout=300, env=self.environment, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def feature_log(self) -> dict[int, list[Columns]]:
        """Return features.log as any reader takes it: parts in order, by partition."""
        if not self._rows:
            log = read_topic(self.kafka, topics.FEATURES_LOG.full_name(self.run.topic_prefix))
            self._rows = {partition: accepted(records) for partition, records in log.items()}
        return self._rows

    def payments(self) -> Columns:
        """Return every payment of features.log."""
        parts = [p for parts in self.feature_log().values() for p in parts if "label" not in p]
        return concat(parts)


@pytest.fixture(scope="module")
def whole(servers: RealServers, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(servers, tmp_path_factory.mktemp("whole"))


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    lists = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def same_bits(found: list[float], expected: list[float]) -> bool:
    return bool(np.array_equal(np.array(found), np.array(expected), equal_nan=True))


def test_every_good_payment_has_one_prediction_and_every_bad_record_its_code(whole: Whole) -> None:
    summary = whole.summary
    assert summary["problems"] == []
    assert summary["duplicates"] == 0
    assert summary["dead_letters"] >= summary["malformed_in"] > 400
    assert len(summary["dead_letters_by_code"]) > 10


def test_the_feature_log_is_the_definition_for_every_customer(whole: Whole) -> None:
    rows = rows_of(whole.payments())
    rows.sort(key=lambda row: (row["customer_partition"], row["customer_pos"]))
    oracles: dict[bytes, KeyOracle] = {}
    for row in rows:
        oracle = oracles.setdefault(row["customer_id"], KeyOracle(CUSTOMER))
        assert same_bits(row["customer_values"], oracle.row(Kind.SCORED, row)), row
    assert len(rows) > 10_000


def test_the_feature_log_is_the_definition_for_every_terminal(whole: Whole) -> None:
    labels = 0
    for parts in whole.feature_log().values():
        oracles: dict[bytes, KeyOracle] = {}
        for part in parts:
            kind = Kind.LABEL if "label" in part else Kind.SCORED
            for row in rows_of(part):
                oracle = oracles.setdefault(row["terminal_id"], KeyOracle(TERMINAL))
                assert same_bits(row["terminal_values"], oracle.row(kind, row)), row
                labels += kind == Kind.LABEL
    assert labels > 1_000


@pytest.mark.parametrize("entity", [CUSTOMER, TERMINAL], ids=lambda e: str(e.name))
def test_the_stock_feast_sdk_reads_what_the_stream_wrote(whole: Whole, entity: Entity, monkeypatch) -> None:
    for name, value in whole.environment.items():
        monkeypatch.setenv(name, value)
    newest = newest_values(whole, entity)
    keys = sorted(newest)[:300]
    store = open_store(whole.run, PROJECT)
    features = [f"{view.name}:{name}" for view in entity.views for name in view.columns]
    answer = store.get_online_features(
        features=features, entity_rows=[{entity.join_key: key.decode()} for key in keys]
    ).to_dict()
    assert len(keys) > 100
    for column, name in enumerate(entity.columns):
        expected = [newest[key][column] for key in keys]
        found = [np.nan if value is None else value for value in answer[name]]
        assert same_bits(found, expected), name


def newest_values(whole: Whole, entity: Entity) -> dict[bytes, list[float]]:
    """Return the values of each key's last row in its stage's order."""
    newest: dict[bytes, tuple[int, list[float]]] = {}
    for parts in whole.feature_log().values():
        for part in parts:
            if entity == CUSTOMER and "label" in part:  # no view of a customer reads labels
                continue
            for row in rows_of(part):
                at, key = row[f"{entity.name}_pos"], row[entity.join_key]
                if key not in newest or newest[key][0] < at:
                    newest[key] = (at, row[f"{entity.name}_values"])
    return {key: values for key, (_, values) in newest.items()}


def test_a_plain_subscriber_reads_the_decisions(whole: Whole) -> None:
    topic = topics.PREDICTIONS.full_name(whole.run.topic_prefix)
    example = subprocess.Popen(
        [sys.executable, str(ROOT / "docs/examples/subscriber.py"), whole.kafka.bootstrap_servers, topic],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert example.stdout is not None
        lines = [example.stdout.readline().split() for _ in range(20)]
    finally:
        example.kill()
        example.communicate()
    assert {decision for _, decision, _ in lines} <= {"approve", "review", "decline"}


def test_predictions_carry_the_event_and_its_vector(whole: Whole) -> None:
    by_id = {row["transaction_id"].decode(): row for row in rows_of(whole.payments())}
    settings = {"group.id": "check", "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = Consumer({**whole.kafka.librdkafka(), **settings})
    consumer.subscribe([topics.PREDICTIONS.full_name(whole.run.topic_prefix)])
    seen: set[str] = set()
    try:
        while len(seen) < len(by_id):
            for message in consumer.consume(2_000, 10.0):
                prediction = json.loads(message.value() or b"")
                assert prediction["event_id"] not in seen
                seen.add(prediction["event_id"])
                row = by_id[prediction["event_id"]]
                assert prediction["source"]["offset"] == row["raw_offset"]
                assert prediction["features"]["values"][0] == row["amount_minor"]
    finally:
        consumer.close()
    assert seen == set(by_id)


def test_a_decision_is_explained_and_the_log_verified_with_no_worker_running(whole: Whole) -> None:
    explained = whole.summary["explained"]["prediction_id"]
    answer = json.loads(whole.headrace("explain", explained, "--json"))
    assert answer["prediction"]["prediction_id"] == explained
    whole.headrace("verify")
    assert json.loads(whole.headrace("models", "list", "--json"))[0]["stage"] == "champion"


def test_decisions_are_computed_again_bit_for_bit_and_a_changed_record_is_named(
    whole: Whole, tmp_path: Path
) -> None:
    said = json.loads(whole.headrace("replay", "--all", "300", "--seed", "1", "--json"))
    assert (said["replayed"], said["equal"], said["differing"]) == (300, 300, [])
    explained = json.loads(whole.headrace("explain", whole.summary["explained"]["prediction_id"], "--json"))
    assert explained["policy"]["name"] == "default"
    assert explained["counterfactual"]["method"]

    home = tmp_path / "run"
    shutil.copytree(whole.run.home, home)
    path = next((home / "lake" / "predictions").rglob("[0-9]*.parquet"))
    table, about = pq.ParquetFile(path).read(), dict(pq.read_metadata(path).metadata)
    del about[b"ARROW:schema"]
    values = [
        value.replace(b'"outcome":"no_hit"', b'"outcome":"error"', 1) for value in table["value"].to_pylist()
    ]
    at = table.column_names.index("value")
    pq.write_table(
        table.set_column(at, "value", pa.array(values, pa.binary())).replace_schema_metadata(about), path
    )
    name = table["prediction_id"][0].as_py()
    whole.environment["HEADRACE_RUN"] = str(home)
    try:
        wrong = json.loads(whole.headrace("replay", name, "--json", code=1))
    finally:
        del whole.environment["HEADRACE_RUN"]
    assert [part["what"] for part in wrong["differing"][0]["differences"]] == ["rules"]


@pytest.mark.long
def test_a_thousand_decisions_are_computed_again_bit_for_bit(whole: Whole) -> None:
    said = json.loads(whole.headrace("replay", "--all", "1000", "--seed", "2", "--json"))
    assert (said["replayed"], said["equal"]) == (1000, 1000)


@pytest.mark.long
def test_a_thousand_decisions_are_explained_by_what_they_were_made_of(whole: Whole) -> None:
    """Its own values, contributions that add up to the raw score, and a change that decides otherwise."""
    lake, registry = Lake(whole.run.lake, PROJECT), Registry(whole.run.models)
    rows = lake.read("predictions", ("prediction_id", "value")).to_pylist()
    recorded = {row["prediction_id"]: json.loads(row["value"]) for row in rows}
    boosters: dict[str, lightgbm.Booster] = {}
    scored = 0
    for name in random.Random(3).sample(sorted(recorded), 1000):
        found, record = explain(lake, registry, name), recorded[name]
        vector = record["features"]["values"]
        assert found.prediction == {key: value for key, value in record.items() if key != "features"}
        assert [part["value"] for part in found.features] == vector
        if found.counterfactual is not None and found.counterfactual.changes:
            assert found.counterfactual.decision != record["decision"]
        if found.base is None:
            continue
        scored += 1
        assert found.model is not None
        model = found.model["id"]
        if model not in boosters:
            text = registry.file(registry.find(model), MODEL_FILE)
            boosters[model] = lightgbm.Booster(model_str=text.decode())
        row = np.array([[np.nan if value is None else value for value in vector]])
        raw = float(boosters[model].predict(row, raw_score=True, num_threads=1)[0])
        added = found.base + sum(part["contribution"] for part in found.features)
        assert added == pytest.approx(raw, abs=1e-9)
    assert scored > 100


def test_the_policy_that_decided_would_move_nothing_and_reviews_are_the_cases(
    whole: Whole, tmp_path: Path
) -> None:
    said = json.loads(whole.headrace("policy", "dry-run", str(ROOT / "feature_repo/policy.yaml"), "--json"))
    assert said["moved"] == 0
    assert said["events"] == whole.summary["predictions"]
    listed = json.loads(whole.headrace("review", "list", "--all", "--lake", "--limit", "1000000", "--json"))
    by_why = Counter(row["why"] for row in listed["cases"])
    assert by_why["decision"] == said["before"]["decisions"]["review"] == whole.summary["decisions"]["review"]
    chosen = json.loads(whole.headrace("policy", "thresholds", "--json"))
    assert 0 <= chosen["review"] <= chosen["decline"] <= 1
