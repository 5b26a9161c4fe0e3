"""Shadow, canary and rollback on real servers: who decides changes while payments come, and none is lost."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from click.testing import CliRunner, Result

from contracts.connections import KafkaConnection
from contracts.events import Prediction
from headrace.__main__ import cli
from inference.release.mirror import adopt
from inference.release.registry import Change, Registry
from inference.release.registry_store import FolderStore
from inference.release.release import read_release
from load.oracle.release import arm_of
from runtime.run import Run
from tests.integration.scorer_harness import LogWriter, Subscriber, scorer_process
from tests.unit.inference.stores import PLACE, mirrored, needs_mlflow, store, uri_in
from tests.unit.inference.support import trained_text, write_model
from tests.waiting import until

pytestmark = pytest.mark.integration

CHANGE = Change(who="tester", at_ms=1, why="a test")
GOOD, LIKE_IT = trained_text(seed=1), trained_text(seed=1, trees=24)


@pytest.fixture
def subscriber(run: Run, kafka: KafkaConnection) -> Iterator[Subscriber]:
    reading = Subscriber(run, kafka)
    yield reading
    reading.close()


@contextmanager
def load(writer: LogWriter, partitions: int, rows: int = 30) -> Iterator[list[int]]:
    """Send rows to each partition again and again while the block runs; count what was sent."""
    sent, ended = [0], threading.Event()

    def send() -> None:
        while not ended.wait(0.05):
            writer.send(rows)
            sent[0] += partitions * rows

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join(30)


def each_once(predictions: list[Prediction]) -> None:
    ids = Counter(prediction.prediction_id for prediction in predictions)
    assert [name for name, count in ids.items() if count > 1] == []


def headrace(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def command(*arguments: str) -> Result:
    """Run a command in this process: its imports are paid for."""
    return CliRunner().invoke(cli, arguments)


def stage_of(prediction: Prediction) -> tuple[str, str]:
    return prediction.model.version, prediction.model.stage  # type: ignore[union-attr]


def bad_text() -> str:
    """Return a model that was trained on frauds called honest and honest payments called frauds."""
    return trained_text(seed=1, upside_down=True)


def test_shadow_scores_appear_while_running_and_are_the_models_own(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    registry, writer = Registry(run.models), LogWriter(run, kafka)
    write_model(run.models, "1", GOOD)
    write_model(run.models, "2", LIKE_IT)
    registry.promote("fraud/1", CHANGE)
    with scorer_process(run):
        writer.send(50)
        assert all(one.shadow == [] for one in subscriber.until(100, quiet_s=0.2))
        registry.promote("fraud/2", CHANGE, "shadow")
        with load(writer, 2, rows=10) as sent:
            until(lambda: subscriber.read(0.1)[-1].shadow != [], timeout_s=30, what="a shadow scores")
        subscriber.until(100 + sent[0])
    each_once(subscriber.seen)
    shadowed = [one for one in subscriber.seen if one.shadow]
    vectors = np.array([[np.nan if v is None else v for v in one.features.values] for one in shadowed])
    expected = lightgbm.Booster(model_str=LIKE_IT).predict(vectors, num_threads=1).tolist()
    assert [[(s.model, s.score) for s in one.shadow] for one in shadowed] == [
        [("fraud/2", s)] for s in expected
    ]
    assert {stage_of(one) for one in subscriber.seen} == {("1", "champion")}
    live = registry.models / "evidence" / "scorer-0.json"
    told = json.loads(live.read_bytes())["models"]["fraud/2"]
    assert (told["scores"], told["errors"]) == (len(shadowed), 0)


def test_a_canary_that_is_bad_on_purpose_rolls_itself_back_on_all_scorers(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    registry, writer = Registry(run.models), LogWriter(run, kafka, partitions=4)
    write_model(run.models, "1", GOOD)
    write_model(run.models, "2", bad_text())
    registry.promote("fraud/1", CHANGE)
    with scorer_process(run), scorer_process(run, "--slot", "1"):
        writer.send(30)
        subscriber.until(120, quiet_s=0.2)
        with load(writer, 4) as sent:
            registry.promote("fraud/2", CHANGE, "canary", share_percent=30.0)
            until(lambda: registry.release().canary is None, timeout_s=60, what="the canary is withdrawn")
            before = sent[0]
            until(lambda: sent[0] > before + 600, timeout_s=30, what="payments after it")
            subscriber.read(0.1)
        subscriber.until(120 + sent[0])
    each_once(subscriber.seen)
    assert len(subscriber.seen) == 120 + sent[0], "no payment is lost or unscored"
    assert all(isinstance(one.score, float) for one in subscriber.seen)
    touched = [one for one in subscriber.seen if stage_of(one)[1] == "canary"]
    assert {stage_of(one)[0] for one in touched} == {"2"}
    last = max(one.scored_at for one in touched)
    after = [one for one in subscriber.seen if one.scored_at > last]
    assert after, "the champion goes on alone"
    assert {stage_of(one) for one in after} == {("1", "champion")}
    for one in subscriber.seen:
        if one.experiment:
            told = {"id": one.experiment.id, "share_percent": one.experiment.share_percent}
            assert one.experiment.arm == arm_of(told, one.keys["customer"] or "") == stage_of(one)[1]
    rows = json.loads(headrace("models", "audit", "--json").stdout)
    assert [row["action"] for row in rows][-1] == "canary_withdrawn"
    assert rows[-1]["guardrail"] in ("psi", "declined_more", "reviewed_more")
    assert rows[-1]["who"] in ("scorer-0", "scorer-1")
    assert registry.find("fraud/2").stage == "retired"


@needs_mlflow
def test_a_canary_from_mlflow_rolls_itself_back_there_and_mlflow_may_go_away(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, elsewhere = LogWriter(run, kafka, partitions=4), tmp_path / "elsewhere"
    write_model(run.models, "1", GOOD)
    write_model(run.models, "2", bad_text())
    Registry(run.models).promote("fraud/1", CHANGE)
    adopt(FolderStore(run.models), store("mlflow", tmp_path))
    monkeypatch.setenv("HEADRACE_MODELS_MLFLOW", uri_in(tmp_path))
    registry = Registry(elsewhere, mirrored(tmp_path, elsewhere))
    mirror = subprocess.Popen([sys.executable, "-m", "headrace", "mirror"], stderr=subprocess.PIPE, text=True)
    try:
        with scorer_process(run), load(writer, 4) as sent:
            until(lambda: len(subscriber.read(0.1)) > 100, timeout_s=60, what="the champion decides")
            registry.promote("fraud/2", CHANGE, "canary", share_percent=30.0)
            until(
                lambda: read_release(run.models).revision == 3, timeout_s=60, what="the canary is withdrawn"
            )
            assert read_release(run.models) == registry.release()
            (tmp_path / PLACE / "mlflow.db").write_bytes(b"no database")
            before = sent[0]
            until(lambda: sent[0] > before + 600, timeout_s=30, what="payments without MLflow")
    finally:
        mirror.terminate()
        log = mirror.communicate(timeout=60)[1]
    subscriber.until(sent[0])
    each_once(subscriber.seen)
    assert all(isinstance(one.score, float) for one in subscriber.seen)
    assert {stage_of(one) for one in subscriber.seen} == {("1", "champion"), ("2", "canary")}
    assert stage_of(subscriber.seen[-1]) == ("1", "champion")
    change = read_release(run.models).change
    assert (change["action"], change["who"]) == ("canary_withdrawn", "scorer-0")
    assert log.count("mirror_behind") == log.count('"code": "E_MODEL_REGISTRY"') == 1, log


def test_a_champion_is_rolled_back_under_load_and_nothing_is_lost(
    run: Run, kafka: KafkaConnection, subscriber: Subscriber
) -> None:
    registry, writer = Registry(run.models), LogWriter(run, kafka, partitions=4)
    for version, text in (("1", GOOD), ("2", LIKE_IT)):
        write_model(run.models, version, text)
        registry.promote(f"fraud/{version}", CHANGE)
    with scorer_process(run), scorer_process(run, "--slot", "1"):
        with load(writer, 4) as sent:
            until(lambda: len(subscriber.read(0.1)) > 500, timeout_s=60, what="the second decides")
            done = headrace("models", "rollback", "--why", "declines too many", "--json")
            assert json.loads(done.stdout)["id"] == "fraud/1", done.stderr
            until(
                lambda: stage_of(subscriber.read(0.1)[-1])[0] == "1", timeout_s=30, what="the first decides"
            )
            before = sent[0]
            until(lambda: sent[0] > before + 600, timeout_s=30, what="payments after it")
        subscriber.until(sent[0])
    each_once(subscriber.seen)
    assert len(subscriber.seen) == sent[0]
    assert all(isinstance(one.score, float) for one in subscriber.seen)
    by_version = {"1": GOOD, "2": LIKE_IT}
    assert {stage_of(one)[0] for one in subscriber.seen} == set(by_version)
    for version, text in by_version.items():  # a batch has one model: none scores with another's trees
        some = [one for one in subscriber.seen if stage_of(one)[0] == version][:500]
        vectors = np.array([[np.nan if v is None else v for v in one.features.values] for one in some])
        expected = lightgbm.Booster(model_str=text).predict(vectors, num_threads=1).tolist()
        assert [one.score for one in some] == expected


def test_promotions_on_the_command_line_go_through_gates_and_say_why_not(run: Run) -> None:
    registry = Registry(run.models)
    write_model(run.models, "1", GOOD)
    write_model(run.models, "2", LIKE_IT)
    refused = command("models", "promote", "fraud/1", "--json")
    assert refused.exit_code == 6
    assert "E_GATE_REFUSED" in refused.stderr
    assert "beats_baselines: not known, limit 0" in refused.stderr
    assert command("models", "promote", "fraud/1", "--force").exit_code == 6, "a reason is needed"
    first = command("models", "promote", "fraud/1", "--force", "--why", "it is the first", "--json")
    assert json.loads(first.stdout)["stage"] == "champion", first.stderr
    forced = ("--force", "--why", "a try", "--json")
    tried = command("models", "promote", "fraud/2", "--to", "canary", "--share", "2.5", *forced)
    assert json.loads(tried.stdout)["stage"] == "canary", tried.stderr
    canary = registry.release().canary
    assert canary is not None
    assert canary.share_percent == 2.5
    out = command("models", "retire", "canary", "--why", "enough", "--json")
    assert json.loads(out.stdout)["stage"] == "retired", out.stderr
    assert command("models", "retire", "champion").exit_code == 6
    stages = {row["id"]: row["stage"] for row in json.loads(command("models", "list", "--json").stdout)}
    assert stages == {"fraud/1": "champion", "fraud/2": "retired"}
    text = command("models", "audit").stdout
    assert "promote_by_force  fraud/1  candidate to champion  it is the first" in text
