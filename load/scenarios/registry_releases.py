"""The person's hands: the registry of the run."""

from inspect import signature
from pathlib import Path

from inference.registry import Change, Registry

PERSON = "scenario"


class RegistryReleases:
    """Promotes and shadows through the registry; event time is no matter of its audit."""

    def __init__(self, models: Path) -> None:
        self._registry = Registry(models)

    def promote(self, model: str, why: str) -> None:
        """Make a version the champion.

        Raises:
            ModelError: it may not be.
        """
        self._registry.promote(model, Change(who=PERSON, at_ms=0, why=why))

    def shadow(self, model: str, why: str) -> bool:
        """Let a version score every payment and decide none; return False where there are no shadows.

        Raises:
            ModelError: it may not be.
        """
        if "to" not in signature(Registry.promote).parameters:
            return False  # a registry that knows champions only
        self._registry.promote(model, Change(who=PERSON, at_ms=0, why=why), "shadow")
        return True
