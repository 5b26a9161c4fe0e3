"""The registry's words for the learner: thresholds, the champion's training, a candidate's gain."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog

from contracts.errors import ModelError
from inference.learner.ports import Training
from inference.manifest import MANIFEST_FILE, Champion, Thresholds, folder_of, read_file
from inference.registry import Change, Registry

POLICY = "retraining policy"

log = structlog.get_logger(__name__)


class RegistryModels:
    """Reads manifests below a registry's folder; versions never change, so what was read is kept.

    >>> RegistryModels(Path("no/such/models")).champion() is None
    True
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self._known: dict[str, dict[str, Any]] = {}
        self._last: Training | None = None

    def thresholds(self, model: str) -> Thresholds | None:
        """Return the thresholds of `name/version`, None when it is not known (any more)."""
        said = self._manifest(model).get("thresholds")
        return None if said is None else msgspec.convert(said, Thresholds)

    def champion(self) -> Training | None:
        """Return the champion's training, None without a champion that says."""
        try:
            entries = Registry(self._models).entries()
        except ModelError as error:  # the scorers keep their model meanwhile, and so do we
            log.error("registry_unreadable", code=error.code, error=str(error))
            return self._last
        model = next((entry.id for entry in entries if entry.stage == "champion"), None)
        if model is None:
            return None
        data = self._manifest(model).get("data")
        if not isinstance(data, dict) or "until_ms" not in data:
            return None
        self._last = Training(model=model, until_ms=int(data["until_ms"]), labels=int(data["rows"]))
        return self._last

    def gain(self, model: str) -> float | None:
        """Return by how much a version ranked better than the champion; None when not compared."""
        compared = self._manifest(model).get("metrics", {}).get("comparison", {}).get("champion")
        return float(compared["gain"]) if compared else None

    def promote(self, model: str, at_ms: int, why: str) -> None:
        """Make a version the champion.

        Raises:
            ModelError: it may not be.
        """
        Registry(self._models).promote(model, Change(who=POLICY, at_ms=at_ms, why=why))

    def _manifest(self, model: str) -> dict[str, Any]:
        if model not in self._known:
            name, _, version = model.partition("/")
            try:
                folder = folder_of(self._models, Champion(name=name, version=version, sha256=""))
                self._known[model] = orjson.loads(read_file(folder / MANIFEST_FILE))
            except (ModelError, orjson.JSONDecodeError):
                return {}  # a version that was removed, or is damaged: it has no thresholds to judge by
        return self._known[model]
