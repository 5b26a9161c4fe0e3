"""The person's hands: the registry of the run, through its gates as on the command line."""

from pathlib import Path

from inference.release.live_evidence import FolderEvidence
from inference.release.promotion import Promoter
from inference.release.registry import Change, Registry
from inference.release.release import Stage
from inference.release.settings import ReleaseGateSettings
from load.this_project import PROJECT

PERSON = "scenario"


class RegistryReleases:
    """Promotes and shadows versions; event time is no matter of its audit."""

    def __init__(self, models: Path, gates: ReleaseGateSettings) -> None:
        self._promoter = Promoter(PROJECT, Registry(models), gates, FolderEvidence(models))

    def move(self, model: str, to: Stage, why: str, *, force: bool = False) -> None:
        """Take a version to a stage; `force` passes its gates by.

        Raises:
            ModelError: E_GATE_REFUSED, or whatever else is in the way.
        """
        self._promoter.promote(model, to, Change(who=PERSON, at_ms=0, why=why), force=force)
