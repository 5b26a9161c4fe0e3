"""A project's decisions: an ordered set, from the mildest to the severest, and what each means for people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.yaml_file import load
from features.declare import Decision
from features.project.compiled import CompiledProject
from features.project.policy_file import FILE

NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True)
class Decisions:
    """What may be decided; a decision's code is its place, 0 the mildest.

    Args:
        names: at least one.
        queue: those that people look at.
        stops: those that stop the event.

    >>> logins = Decisions(("allow", "challenge", "deny"), frozenset({"challenge"}), frozenset({"deny"}))
    >>> logins.code("deny"), logins.queued, logins.stopping, logins.severer
    (2, (1,), (2,), ('challenge', 'deny'))
    >>> NOTHING_DECIDES.names
    ('not_assessed',)
    """

    names: tuple[str, ...]
    queue: frozenset[str] = frozenset()
    stops: frozenset[str] = frozenset()

    @classmethod
    def of(cls, declared: Iterable[Decision]) -> "Decisions":
        """Return declared decisions."""
        found = tuple(declared)
        return cls(
            tuple(each.name for each in found),
            frozenset(each.name for each in found if each.queue),
            frozenset(each.name for each in found if each.stops),
        )

    @property
    def severer(self) -> tuple[str, ...]:
        """All but the mildest: those that a score or a rule may ask for."""
        return self.names[1:]

    @property
    def queued(self) -> tuple[int, ...]:
        """The codes of those that people look at."""
        return tuple(code for code, name in enumerate(self.names) if name in self.queue)

    @property
    def stopping(self) -> tuple[int, ...]:
        """The codes of those that stop the event."""
        return tuple(code for code, name in enumerate(self.names) if name in self.stops)

    def code(self, name: str) -> int:
        """Return a decision's code."""
        return self.names.index(name)


NOTHING_DECIDES = Decisions((NOT_ASSESSED,))  # of a project that declares no decisions


def decisions_of(project: CompiledProject) -> Decisions:
    """Return a project's decisions: those of `features.py`, else those of its `policy.yaml`, else none.

    Raises:
        ConfigError: E_CONFIG_YAML, the policy cannot be read.
    """
    declared = project.declared.decisions if project.declared else ()
    path = Path(project.folder) / FILE
    if not declared and path.exists():
        declared = tuple(map(_decision, load(path).get("decisions") or ()))
    return Decisions.of(declared) if declared else NOTHING_DECIDES


def _decision(said: Mapping[str, Any]) -> Decision:
    return Decision(str(said["name"]), queue=bool(said.get("queue")), stops=bool(said.get("stops")))
