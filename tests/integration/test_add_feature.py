"""A feature is added to a running system: no gap, no double count, and its values are those of all history.

Code B is this checkout with one line more in the project. Only the customer stage is replaced by it; the
terminal stage, the archive and the scorer stay those of code A and read what B writes. Run it with

    pytest tests/integration/test_add_feature.py -m long
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from contracts import topics
from contracts.connections import KafkaConnection
from contracts.frame import Columns, length
from feature_repo.generate import workload
from feature_repo.generator.payments import generate
from features.aggregations import Sum
from features.definition import Entity, Feature, Window
from features.meaning import meaning_of
from inference.offline.lake.lake import Lake
from load.bench.quick_model import promote_quick_model
from load.this_project import CUSTOMER, PIPELINE, PROJECT, SERVICE
from runtime.run import Run
from tests.integration.scorer_harness import Subscriber
from tests.integration.stage_log import Feeder, accepted, by_position, read_topic, recomputed
from tests.integration.test_stages import drained, feed
from tests.stages import customer_rows
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("contracts", "features", "streams", "inference", "feature_repo", "headrace")
NEW = "customer_amount_sum_7d"
BEFORE = '        max_of("amount_minor", "24h"'
LINE = '        sum_of("amount_minor", "7d", name="customer_amount_sum"),\n'
READY_S = 240.0  # code B's kernels are compiled anew


class Process(NamedTuple):
    """A worker of code A or B."""

    running: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """Ask it to end; it must do so cleanly."""
        self.running.send_signal(signal.SIGTERM)
        assert self.running.wait(30) == 0, self.log.read_text()[-3000:]


def after() -> Entity:
    """Return the customer as code B declares it."""
    view = CUSTOMER.views[0]
    at = view.columns.index("customer_amount_max_24h")
    new = Feature(name=NEW, aggregation=Sum(), window=Window.of(days=7))
    features = (*view.features[:at], new, *view.features[at:])
    return msgspec.structs.replace(CUSTOMER, views=(msgspec.structs.replace(view, features=features),))


@pytest.fixture(scope="module")
def code_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tree with one feature more."""
    tree = tmp_path_factory.mktemp("code_b")
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tree)
    declared = tree / "feature_repo" / "features.py"
    text = declared.read_text()
    assert text.count(BEFORE) == 1
    declared.write_text(text.replace(BEFORE, LINE + BEFORE))
    return tree


def headrace(tree: Path, log: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a command of a tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    with log.open("ab") as output:
        command = [sys.executable, "-m", "headrace", *words]
        return subprocess.Popen(command, cwd=tree, env=environment, stdout=output, stderr=output)


@contextmanager
def workers(run: Run) -> Iterator[dict[str, Process]]:
    """Start and keep workers by name; none is left behind."""
    kept: dict[str, Process] = {}
    try:
        yield kept
    finally:
        for process in kept.values():
            process.running.kill()
            process.running.wait(10)


def start(run: Run, tree: Path, *words: str) -> Process:
    """Start a worker and wait until it says that it is ready."""
    log = run.logs / f"{'-'.join(words)}-{tree.name}.log"
    running = headrace(tree, log, *words)

    def ready() -> bool:
        assert running.poll() is None, log.read_text()[-3000:]
        noted = (json.loads(path.read_bytes()) for path in run.ports.glob("*.json"))
        return any(note["pid"] == running.pid for note in noted)

    until(ready, timeout_s=READY_S, what=f"{words} is ready", every_s=0.2)
    return Process(running, log)


def feature_rows(kafka: KafkaConnection, run: Run) -> list[Columns]:
    """Return the payments of features.log, part by part."""
    log = read_topic(kafka, topics.FEATURES_LOG.full_name(run.topic_prefix))
    return [part for records in log.values() for part in accepted(records) if "label" not in part]


def expected_values(kafka: KafkaConnection, run: Run, entity: Entity) -> dict[tuple[str, int], bytes]:
    """Return what a stage of these definitions that never stopped makes of the whole input."""
    found: dict[tuple[str, int], bytes] = {}
    for number, log in read_topic(
        kafka, PIPELINE.stage_inputs["customer"].full_name(run.topic_prefix)
    ).items():
        rows = customer_rows(number, topics.PARTITIONS, entity)
        parts = recomputed(log, rows, f"events.customer/{number}")
        found |= by_position(parts, "customer_values", "customer_pos")
    return found


def assert_continuous(kafka: KafkaConnection, run: Run) -> tuple[int, int]:
    """Compare every row with both codes' definitions over all history; return rows made by A and by B."""
    codes = {meaning_of(CUSTOMER).code: CUSTOMER, meaning_of(after()).code: after()}
    expected = {code: expected_values(kafka, run, entity) for code, entity in codes.items()}
    rows = feature_rows(kafka, run)
    counts = dict.fromkeys(codes, 0)
    seen: set[tuple[str, int]] = set()
    for part in rows:
        code = int(part["customer_definitions"][0])
        counts[code] += length(part)
        for key, values in by_position([part], "customer_values", "customer_pos").items():
            assert key not in seen, f"doubled: {key}"
            seen.add(key)
            assert values == expected[code][key], key
    assert seen == set(next(iter(expected.values())))
    before, now = counts[meaning_of(CUSTOMER).code], counts[meaning_of(after()).code]
    return before, now


def test_a_feature_added_to_a_running_system_has_no_gap_and_no_double_count(
    run: Run, kafka: KafkaConnection, code_b: Path
) -> None:
    feeder = Feeder(kafka, run.topic_prefix, seed=8)
    subscriber = Subscriber(run, kafka)
    promote_quick_model(run.models, generate(replace(workload("bank"), events=2_000)), rows=2_000)
    with workers(run) as kept:
        for words in (("stream", "customer"), ("stream", "terminal"), ("archive",), ("score",)):
            kept["-".join(words)] = start(run, CHECKOUT, *words)
        feed(feeder, 6.0, rate=200)
        feeding = threading.Thread(target=feed, args=(feeder, 60.0, 100))
        feeding.start()
        time.sleep(2.0)
        kept.pop("stream-customer").stop()

        refused = headrace(code_b, run.logs / "refused.log", "stream", "customer")
        assert refused.wait(READY_S) == 5, (run.logs / "refused.log").read_text()[-2000:]
        assert "E_STATE_DEFINITIONS" in (run.logs / "refused.log").read_text()
        told = run.logs / "warm.json"
        warm = headrace(code_b, run.logs / "warm.log", "backfill", "--warm", "--json", str(told))
        assert warm.wait(READY_S) == 0, (run.logs / "warm.log").read_text()[-3000:]
        report = json.loads(told.read_text())
        assert report["customer"]["keys"] == 13
        assert report["terminal"] == {"keys": 0, "offsets": {}, "changed": False}

        kept["stream-customer"] = start(run, code_b, "stream", "customer")
        feeding.join()
        feed(feeder, 3.0, rate=200)
        drained(kafka, run, feeder)
        kept.pop("score").stop()
        kept["score"] = start(run, code_b, "score")  # a scorer of B with the model that A trained
        feed(feeder, 3.0, rate=200)
        drained(kafka, run, feeder)
        before, now = assert_continuous(kafka, run)
        assert before > 500
        assert now > 500
        predictions = subscriber.until(len(feeder.ids))
        assert sorted(p.event_id for p in predictions) == sorted(i.decode() for i in feeder.ids)
        widths = {len(p.features.values) for p in predictions}
        assert widths == {len(SERVICE.columns), len(SERVICE.columns) + 1}
        assert all(p.model is not None and p.score is not None for p in predictions)
        subscriber.close()
        until(
            lambda: _archived(run) == len(feeder.ids), timeout_s=60, what="all rows in the lake", every_s=1.0
        )
    table = Lake(run.lake, PROJECT).read("features", ["customer_definitions", NEW])
    made_by_b = np.array(table["customer_definitions"].to_pylist()) == meaning_of(after()).hash
    assert int(made_by_b.sum()) == now
    assert np.array_equal(table[NEW].is_valid().to_numpy(), made_by_b)


def _archived(run: Run) -> int:
    lake = Lake(run.lake, PROJECT)
    return lake.read("features", ["offset"]).num_rows if lake.has("features") else 0
