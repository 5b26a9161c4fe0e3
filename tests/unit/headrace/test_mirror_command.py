"""`headrace mirror` and `headrace models` where MLflow is the registry, as processes on a real database."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inference.release.registry import Registry
from inference.release.release import read_release
from runtime.run import Run
from tests.unit.inference.stores import mirrored, needs_mlflow, store, uri_in
from tests.unit.inference.versions import CHANGE, add
from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run under `tmp_path`, whose MLflow is `uri_in(tmp_path)`."""
    return Run.create(tmp_path, "main", redis_db=1)


def _headrace(tmp_path: Path, *arguments: str, mlflow: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "headrace", *arguments], cwd=CHECKOUT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "HEADRACE_ROOT": str(tmp_path), "HEADRACE_MODELS_MLFLOW": mlflow},
    )  # fmt: skip


def _answer(tmp_path: Path, *arguments: str, mlflow: str = "") -> tuple[int, str, str]:
    process = _headrace(tmp_path, *arguments, mlflow=mlflow)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def test_without_mlflow_there_is_nothing_to_mirror(run: Run, tmp_path: Path) -> None:
    code, _, err = _answer(tmp_path, "mirror", "--once")
    assert code == 2
    assert "E_CONFIG_MISSING" in err
    assert "set HEADRACE_MODELS_MLFLOW" in err


@needs_mlflow
def test_commands_take_mlflow_for_the_registry_and_the_mirror_follows_it(run: Run, tmp_path: Path) -> None:
    uri = uri_in(tmp_path)
    elsewhere = Registry(tmp_path / "elsewhere", mirrored(tmp_path, tmp_path / "elsewhere"))
    one, two = add(elsewhere), add(elsewhere, b"two")
    elsewhere.promote(one, CHANGE)
    code, out, _ = _answer(tmp_path, "models", "list", "--json", mlflow=uri)
    assert code == 0
    assert [(row["id"], row["stage"]) for row in json.loads(out)] == [(one, "champion"), (two, "candidate")]
    assert read_release(run.models) == elsewhere.release()
    watching = _headrace(tmp_path, "mirror", mlflow=uri)
    until((run.ports / "mirror.json").exists, timeout_s=60, what="the mirror is ready")
    elsewhere.promote(two, CHANGE)
    until(lambda: read_release(run.models).revision == 2, timeout_s=30, what="the mirror follows")
    watching.send_signal(signal.SIGTERM)
    _, log = watching.communicate(timeout=30)
    assert watching.returncode == 0, log
    code, out, _ = _answer(tmp_path, "models", "rollback", "--why", "declines too many", mlflow=uri)
    assert (code, out.split()[:2]) == (0, [one, "champion"])
    assert read_release(run.models) == elsewhere.release()


@needs_mlflow
def test_a_folder_is_adopted_by_a_command(run: Run, tmp_path: Path) -> None:
    before = Registry(run.models)
    before.promote(add(before), CHANGE)
    uri = uri_in(tmp_path)
    code, _, err = _answer(tmp_path, "models", "list", mlflow=uri)
    assert (code, "E_MODEL_MIRROR" in err, "--adopt" in err) == (6, True, True)
    code, out, _ = _answer(tmp_path, "mirror", "--adopt", mlflow=uri)
    assert (code, out.startswith("1 versions and the release")) == (0, True)
    assert store("mlflow", tmp_path).release() == before.release()
    code, out, _ = _answer(tmp_path, "mirror", "--once", mlflow=uri)
    assert (code, out.startswith("revision 1 is in")) == (0, True)
