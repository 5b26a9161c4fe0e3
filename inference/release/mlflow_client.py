"""MLflow as the registry asks it: its client, imported when first needed, and its errors told as ours.

Everything of ours lies in one experiment. Only this file imports MLflow; who sets no MLflow never does.
"""

import importlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from contracts.errors import ModelError

EXPERIMENT = "headrace"
UNREACHABLE = "E_MODEL_REGISTRY"  # nothing is wrong with a model: ask again later
PAGE = 200
QUIET = {  # MLflow reads them when it is imported; what an operator has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class AbsentError(ModelError):
    """MLflow has no such thing."""


class TakenError(ModelError):
    """MLflow has one of this name already, and keeps that."""


class MlflowClient:
    """One MLflow, named by the URI of its server or of its SQLite database.

    >>> MlflowClient("sqlite:///no/such/mlflow.db").uri
    'sqlite:///no/such/mlflow.db'
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of MLflow's client.

        Raises:
            AbsentError, TakenError: it is not there; it is there already.
            ModelError: E_MODEL_REGISTRY, MLflow does not answer or refuses.
        """
        client, failures = self._client
        try:
            return getattr(client, what)(*arguments, **named)
        except failures as error:
            raise _told(error, what, self.uri) from error

    def pages(self, what: str, **named: Any) -> Iterator[Any]:
        """Yield everything that a search finds."""
        token = None
        while True:
            page = self.ask(what, max_results=PAGE, page_token=token, **named)
            yield from page
            token = page.token
            if not token:
                return

    def experiment(self) -> str:
        """Return the id of our experiment, which is made where it is not there."""
        found = self.ask("get_experiment_by_name", EXPERIMENT)
        if found is None:
            try:
                return str(self.ask("create_experiment", EXPERIMENT, artifact_location=self._artifacts()))
            except TakenError:  # by somebody else, just now
                found = self.ask("get_experiment_by_name", EXPERIMENT)
        return str(found.experiment_id)

    def new_run(self, name: str) -> str:
        """Return the id of a new run of our experiment."""
        run = self.ask("create_run", self.experiment(), start_time=time.time_ns() // 1_000_000, run_name=name)
        return str(run.info.run_id)

    def upload(self, run: str, folder: str, files: Mapping[str, bytes]) -> None:
        """Put files into a folder of a run's artifacts."""
        with tempfile.TemporaryDirectory(prefix="headrace-") as place:
            for name, data in files.items():
                (Path(place) / name).write_bytes(data)
            self.ask("log_artifacts", run, place, folder)

    def download(self, run: str, path: str) -> bytes:
        """Return the bytes of one of a run's artifacts.

        Raises:
            AbsentError: the run has no such artifact.
            ModelError: E_MODEL_REGISTRY.
        """
        with tempfile.TemporaryDirectory(prefix="headrace-") as place:
            try:
                return Path(self.ask("download_artifacts", run, path, place)).read_bytes()
            except ModelError as error:
                there = {one.path for one in self.ask("list_artifacts", run, path.rpartition("/")[0])}
                if path in there:
                    raise
                raise AbsentError("E_MODEL_FILE", "no such artifact", f"{self.uri} {run}/{path}") from error

    def _artifacts(self) -> str | None:
        """Return where a database's artifacts go: beside it; a server says so itself."""
        if not self.uri.startswith("sqlite:///"):
            return None
        return (Path(self.uri.removeprefix("sqlite:///")).absolute().parent / "artifacts").as_uri()

    @cached_property
    def _client(self) -> tuple[Any, tuple[type[Exception], ...]]:
        """Return MLflow's client, and the exceptions that it fails with."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            mlflow = importlib.import_module("mlflow.tracking")
            failures = [importlib.import_module("mlflow.exceptions").MlflowException, OSError, ValueError]
            failures.append(importlib.import_module("google.protobuf.json_format").Error)  # odd answers
            if not self.uri.startswith("http"):
                failures.append(importlib.import_module("sqlalchemy.exc").SQLAlchemyError)
        except ImportError as error:
            raise ModelError(
                UNREACHABLE, f"MLflow's client is not installed: {error}", self.uri,
                "pip install 'headrace[mlflow]', or unset HEADRACE_MODELS_MLFLOW",
            ) from error  # fmt: skip
        try:
            return mlflow.MlflowClient(self.uri, self.uri), tuple(failures)
        except tuple(failures) as error:
            raise _told(error, "connect", self.uri) from error


def _told(error: Exception, what: str, uri: str) -> ModelError:
    """Return what MLflow said as an error of ours, in one line."""
    text = " ".join(str(error).split())[:400]
    code = getattr(error, "error_code", "")
    if code == "RESOURCE_DOES_NOT_EXIST":
        return AbsentError(UNREACHABLE, text, uri)
    if code == "RESOURCE_ALREADY_EXISTS":
        return TakenError(UNREACHABLE, text, uri)
    return ModelError(
        UNREACHABLE, f"{what}: {text}", uri,
        "see that MLflow runs and lets us in; scorers keep their models meanwhile",
    )  # fmt: skip
