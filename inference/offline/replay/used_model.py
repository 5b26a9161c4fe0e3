"""The model that a prediction names, out of the registry and checked as the scorer checks it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from contracts.meaning import Meanings
from features.service_meaning import service_meaning
from inference.models.manifest import MODEL_FILE, Champion
from inference.models.model import LightGbmModel
from inference.offline.lake.lake import Lake
from inference.release.champion import Definitions, load_champion
from inference.release.registry import Registry

Floats = NDArray[np.float64]


class Used(NamedTuple):
    """The model, under the stage that the prediction names, and its manifest; or why there is none."""

    model: LightGbmModel | None
    manifest: dict[str, Any] | None
    why: str


class UsedModels:
    """Finds models by what predictions say of them; each is loaded once."""

    def __init__(self, lake: Lake, registry: Registry) -> None:
        self._lake, self._registry = lake, registry
        self._found: dict[tuple[str, ...], Used] = {}

    def of(self, prediction: dict[str, Any]) -> Used:
        """Return the model that scored a prediction."""
        used = prediction.get("model")
        if used is None:
            return Used(None, None, "no model was champion: rules alone decided")
        return self.named(prediction, used["name"], used["version"], used["sha256"], used["stage"])

    def named(
        self, prediction: dict[str, Any], name: str, version: str, sha256: str | None, stage: str
    ) -> Used:
        """Return a model over the prediction's own vector; without `sha256` any text will do."""
        made = prediction["features"]["definitions_hash"]
        key = (name, version, sha256 or "", stage, made, str(len(prediction["features"]["values"])))
        if key not in self._found:
            self._found[key] = self._load(
                prediction, Champion(name=name, version=version, sha256=sha256 or ""), stage
            )
        return self._found[key]

    def names(self, prediction: dict[str, Any]) -> Sequence[str]:
        """Return the names of the prediction's values: those of the service that made it."""
        own, made = service_meaning(self._lake.project), prediction["features"]["definitions_hash"]
        if made == own.hash or len(prediction["features"]["values"]) == len(own.columns):
            return own.columns
        return Meanings((own,), self._lake.folder).of("service", int(made, 16)).columns

    def _load(self, prediction: dict[str, Any], wanted: Champion, stage: str) -> Used:
        try:
            entry = self._registry.find(f"{wanted.name}/{wanted.version}")
            manifest = self._registry.manifest(entry)
            if wanted.sha256 and manifest["sha256"][MODEL_FILE] != wanted.sha256:
                why = "the registry holds another text under this version than the one that scored"
                return Used(None, None, why)
            pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
            meant = self._definitions(manifest, prediction)
            return Used(load_champion(self._registry.models, pointer, meant).in_stage(stage), manifest, "")
        except ModelError as error:
            return Used(None, None, str(error))

    def _definitions(self, manifest: dict[str, Any], prediction: dict[str, Any]) -> Definitions:
        """Return what the prediction's vector meant to the model that scored it."""
        names, features = self.names(prediction), tuple(manifest["features"])
        service, decisions = self._lake.project.service, self._lake.project.decisions.names
        if len(names) == len(features):
            return Definitions(manifest["definitions_hash"], features, {}, service, decisions)
        made = prediction["features"]["definitions_hash"]
        return Definitions(made, tuple(names), manifest.get("feature_hashes", {}), service, decisions)
