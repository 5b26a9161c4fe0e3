"""The registry's words for the learner: thresholds, the champion's training, a candidate's gain."""

from typing import Any

import msgspec
import structlog

from contracts.errors import ModelError
from features.project.running import RunningProject
from inference.learning.ports import Training
from inference.models.manifest import MANIFEST_FILE, NOT_JSON, Champion, Thresholds, folder_of, read_file
from inference.release.live_evidence import FolderEvidence
from inference.release.promotion import Promoter
from inference.release.registry import Change, Registry
from inference.release.release import Stage
from inference.release.settings import ReleaseGateSettings

POLICY = "retraining policy"

log = structlog.get_logger(__name__)


class RegistryModels:
    """Reads a registry's manifests, which never change and so are kept, and promotes through its gates.

    >>> from pathlib import Path
    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> RegistryModels(logins, Registry(Path("no/such/models"))).champion() is None
    True
    """

    def __init__(
        self, project: RunningProject, registry: Registry, gates: ReleaseGateSettings | None = None
    ) -> None:
        self._registry, live = registry, FolderEvidence(registry.models)
        self._promoter = Promoter(project, registry, gates or ReleaseGateSettings(), live)
        self._known: dict[str, dict[str, Any]] = {}
        self._last: Training | None = None

    def thresholds(self, model: str) -> Thresholds | None:
        """Return the thresholds of `name/version`, None when it is not known (any more)."""
        said = self._manifest(model).get("thresholds")
        return None if said is None else Thresholds(msgspec.convert(said, dict[str, float]))

    def champion(self) -> Training | None:
        """Return the champion's training, None without a champion that says."""
        try:
            champion = self._registry.release().champion
        except ModelError as error:  # the scorers keep their model meanwhile, and so do we
            log.error("registry_unreadable", code=error.code, error=str(error))
            return self._last
        if champion is None:
            return None
        data = self._manifest(champion.id).get("data")
        if not isinstance(data, dict) or "until_ms" not in data:
            return None
        self._last = Training(model=champion.id, until_ms=int(data["until_ms"]), labels=int(data["rows"]))
        return self._last

    def gain(self, model: str) -> float | None:
        """Return by how much a version ranked better than the champion; None when not compared."""
        compared = self._manifest(model).get("metrics", {}).get("comparison", {}).get("champion")
        gain = compared.get("gain") if compared else None
        return None if gain is None else float(gain)

    def promote(self, model: str, at_ms: int, why: str) -> Stage:
        """Take a version a stage on through its gates, and return the stage.

        A new shadow takes the place of the one that the policy set before it.

        Raises:
            ModelError: E_GATE_REFUSED; as `Promoter.promote`.
        """
        release, before = self._registry.release(), self.in_shadow()
        first = release.champion is None or model in before
        to: Stage = "champion" if first else "shadow"
        self._promoter.promote(model, to, Change(who=POLICY, at_ms=at_ms, why=why))
        for other in before if to == "shadow" else ():
            self._registry.retire(other, Change(who=POLICY, at_ms=at_ms, why=f"{model} takes its place"))
        return to

    def in_shadow(self) -> list[str]:
        """Return the versions that the retraining policy lets score in shadow, not those of people.

        None while the registry cannot be read: nothing is promoted then.
        """
        try:
            shadows = sorted(shadow.id for shadow in self._registry.release().shadows)
            audit = self._registry.audit() if shadows else []
        except ModelError as error:
            log.error("registry_unreadable", code=error.code, error=str(error))
            return []
        set_by = {row["id"]: row["who"] for row in audit if row.get("to") == "shadow" and row["took_effect"]}
        return [model for model in shadows if set_by.get(model) == POLICY]

    def _manifest(self, model: str) -> dict[str, Any]:
        if model not in self._known:
            name, _, version = model.partition("/")
            try:
                folder = folder_of(self._registry.models, Champion(name=name, version=version, sha256=""))
                self._known[model] = msgspec.json.decode(
                    read_file(folder / MANIFEST_FILE), type=dict[str, Any]
                )
            except (ModelError, *NOT_JSON):
                return {}  # a version that was removed, or is damaged: it has no thresholds to judge by
        return self._known[model]
