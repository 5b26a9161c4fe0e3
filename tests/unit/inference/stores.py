"""The back ends of a registry, each opened on a folder of its own; MLflow's on a real SQLite database.

MLflow makes its tables once a process; every registry then starts from a copy of that database.
"""

import importlib.util
import shutil
import tempfile
from functools import cache
from pathlib import Path

import orjson
import pytest

from inference.release.mirror import MirroredStore
from inference.release.mlflow_client import MlflowClient
from inference.release.mlflow_store import FILES_FOLDER, MlflowStore
from inference.release.registry_store import FolderStore, RegistryStore

PLACE = ".mlflow"
HAS_MLFLOW = importlib.util.find_spec("mlflow") is not None
WHY_NOT = "MLflow's client is not installed: `make test-mlflow` runs these, and `make test-long` does last"
needs_mlflow = pytest.mark.skipif(not HAS_MLFLOW, reason=WHY_NOT)
_MIRRORED = pytest.param("mirrored", marks=needs_mlflow)
IN_USE = ["folder", _MIRRORED]  # what a registry is given
KINDS = ["folder", pytest.param("mlflow", marks=needs_mlflow), _MIRRORED]


def store(kind: str, models: Path, secret: str = "") -> RegistryStore:
    """Open a back end on a folder; twice is as two processes see it."""
    if kind == "folder":
        return FolderStore(models, secret)
    record = MlflowStore(uri_in(models), models, secret)
    return record if kind == "mlflow" else MirroredStore(record, models)


def mirrored(place: Path, models: Path) -> MirroredStore:
    """Open the MLflow of one folder with another folder as its mirror, as another host does."""
    return MirroredStore(MlflowStore(uri_in(place), models), models)


def uri_in(models: Path) -> str:
    """Return the URI of the MLflow that belongs to a folder, made where there is none."""
    database = models / PLACE / "mlflow.db"
    if not database.exists():
        database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_empty_database(), database)
    return f"sqlite:///{database}"


def file_of(kind: str, models: Path, version_id: str, file: str) -> Path:
    """Return where a back end keeps a file of a version: a test may damage it there."""
    if kind == "folder":
        return models / version_id / file
    for manifest in (models / PLACE / "artifacts").glob(f"*/artifacts/{FILES_FOLDER}/manifest.json"):
        said = orjson.loads(manifest.read_bytes())
        if f"{said['name']}/{said['version']}" == version_id:
            return manifest.with_name(file)
    raise AssertionError(f"no {version_id} in MLflow's artifacts")


@cache
def _place() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="headrace-mlflow-")


@cache
def _empty_database() -> Path:
    database = Path(_place().name) / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").ask("search_experiments")
    return database
