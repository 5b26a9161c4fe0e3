"""On the Fraud Detection Handbook's payments: the loop's figures are right, and the model is worth having."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from contracts.connections import KafkaConnection
from contracts.frame import Columns, strings
from inference.models.provenance import Provenance
from inference.offline.lake.lake import Lake
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.reproduce import REPRODUCED, reproduce
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from inference.release.registry import Change, Registry
from load.this_project import PROJECT
from runtime.run import Run
from tests.handbook import LABELS, PAYMENTS, needs_handbook
from tests.integration.test_learner import told
from tests.lake_maker import make_lake
from tests.unit.inference.learning.offline import matured
from tests.unit.inference.learning.support import DAY_MS, Label, Payment

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.timeout(1800), needs_handbook]
CHECKOUT = Path(__file__).resolve().parents[2]


def some_customers(one_in: int) -> tuple[pa.Table, pa.Table]:
    """Return the payments of every n-th customer, and their labels."""
    payments = pq.read_table(PAYMENTS)
    customers = np.array(payments["customer_id"].to_pylist())
    chosen = np.unique(customers)[::one_in]
    payments = payments.filter(pc.is_in(payments["customer_id"], pa.array(chosen)))
    labels = pq.read_table(LABELS)
    labels = labels.filter(pc.is_in(labels["transaction_id"], payments["transaction_id"].combine_chunks()))
    return payments, labels.sort_by("label_time")


def test_a_model_beats_both_baselines_on_the_last_two_weeks_and_is_reproduced(tmp_path: Path) -> None:
    payments, labels = some_customers(6)
    lake, registry = Lake(tmp_path / "lake", PROJECT), Registry(tmp_path / "models")
    make_lake(lake.folder, columns(payments), columns(labels))
    until_ms = training_set.newest_ms(lake)
    data = training_set.build(lake, NoProfileHistory(), until_ms)
    span_days = (int(data.event_ms[-1]) - int(data.event_ms[0])) / DAY_MS
    given = TrainSettings(holdout_share=14 / span_days)
    trained = train(data, given, Provenance.of())
    about, report = trained.manifest["data"], orjson.loads(trained.files["report.json"])
    assert report["judged_on"] == "holdout"
    assert about["embargo"] is True  # what trains the judged model was known when the two weeks began
    assert about["holdout_from_ms"] == pytest.approx(int(data.event_ms[-1]) - 14 * DAY_MS, abs=1000)
    for baseline in ("logistic_regression", "constant"):
        compared = report["comparison"][baseline]
        assert compared["better"], (baseline, compared)  # the 95 % interval lies above 0
    assert trained.files["report.html"].startswith(b"<!doctype html>")
    change = Change(who="test", at_ms=0, why="")
    entry = registry.add("fraud", trained.files, trained.manifest, change)
    found = reproduce(entry.id, registry.manifest(entry), lake, NoProfileHistory(), Provenance.of())
    assert found.equal, found
    assert set(found.files) == set(REPRODUCED)


def test_matured_figures_of_a_real_run_equal_the_offline_ones(
    run: Run, kafka: KafkaConnection, tmp_path: Path
) -> None:
    payments, labels = some_customers(20)
    pq.write_table(payments, tmp_path / "payments.parquet")
    pq.write_table(labels, tmp_path / "labels.parquet")
    files = ["--input", str(tmp_path / "payments.parquet"), "--labels", str(tmp_path / "labels.parquet")]
    demo = headrace("demo", *files, "--json", str(tmp_path / "summary.json"))
    assert demo.returncode == 0, demo.stdout[-3000:] + demo.stderr[-3000:]
    summary = orjson.loads((tmp_path / "summary.json").read_bytes())
    home = Path(summary["run"])
    demo_run = Run.load(home)
    learn = headrace("learn", "--to-the-end", home=home)
    assert learn.returncode == 0, learn.stderr[-3000:]

    paid, known = of_lake(Lake(demo_run.lake, PROJECT), payments)
    newest_ms = max(max(p.event_ms for p in paid), max(each.label_ms for each in known))
    said = [r for r in told(demo_run, kafka) if r.kind == "matured" and r.at == newest_ms]
    version = f"fraud/{summary['model']['version']}"
    for days in (1, 7, 28):
        for model in (None, version):
            found = next(
                r for r in said
                if r.window_days == days and (r.model == model if model else not isinstance(r.model, str))
            )  # fmt: skip
            expected = matured(paid, known, newest_ms, days, 7.0, 500, model)
            for name, value in expected["counts"].items():
                assert found.counts[name] == value, (days, model, name)
            for name, value in expected["figures"].items():
                assert found.figures[name] == pytest.approx(value, abs=1e-12, rel=1e-12), (days, model, name)
    assert expected["counts"]["positives"] > 20


def headrace(*words: str, home: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command of ours, on the session's servers."""
    environment = os.environ | ({"HEADRACE_RUN": str(home)} if home else {})
    command = [sys.executable, "-m", "headrace", *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=CHECKOUT, env=environment, check=False, timeout=1500
    )


def columns(table: pa.Table) -> Columns:
    """Return a file's rows as the lake's maker takes them; `label` is 1 for fraud."""
    found: Columns = {}
    for name in table.column_names:
        if name in ("transaction_id", "customer_id", "terminal_id"):
            found[name] = strings(table[name].to_pylist())
        elif name == "label":
            found[name] = np.asarray(pc.equal(table[name], "fraud")).astype(np.uint8)
        elif name in ("event_time", "label_time", "amount_minor"):
            found[name] = np.asarray(table[name])
    return found


def of_lake(lake: Lake, payments: pa.Table) -> tuple[list[Payment], list[Label]]:
    """Return what was predicted and what labels said, from the records that the archive kept."""
    amount = dict(
        zip(payments["transaction_id"].to_pylist(), payments["amount_minor"].to_pylist(), strict=True)
    )
    return list(predictions(lake, amount)), list(labels_of(lake))


def predictions(lake: Lake, amount: dict[str, int]) -> Iterator[Payment]:
    for value in lake.read("predictions", ["value"])["value"].to_pylist():
        said = orjson.loads(value)
        model = said.get("model")
        yield Payment(
            id=said["event_id"], event_ms=said["event_time"], offset=said["source"]["offset"],
            partition=said["source"]["partition"], score=said.get("score"), decision=said["decision"],
            amount_minor=amount[said["event_id"]],
            model=f"{model['name']}/{model['version']}" if model else "",
        )  # fmt: skip


def labels_of(lake: Lake) -> Iterator[Label]:
    rows = lake.read("label_log", ["transaction_id", "label", "label_time", "event_time", "terminal_pos"])
    for row in rows.to_pylist():
        yield Label(
            id=row["transaction_id"], label_ms=row["label_time"], fraud=int(row["label"]),
            event_ms=row["event_time"], partition=row["partition"], pos=row["terminal_pos"],
        )  # fmt: skip
