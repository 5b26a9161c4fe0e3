"""What a model is given: groups of columns in the vector's order."""

from collections.abc import Mapping

import msgspec

from features.definition import Computed, computed
from features.expressions import Tree
from features.project.compiled import CompiledModel


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A model's inputs.

    Args:
        of_event: formulas over the event's own fields.
        stored: features by the entity or the batch view that keeps them; entities in the chain's order.
        of_features: formulas over the columns of all other groups.
        categories: the values, by name, of the event's inputs that are one of a few texts.
    """

    name: str
    of_event: tuple[Computed, ...]
    stored: Mapping[str, tuple[str, ...]]
    of_features: tuple[Computed, ...]
    categories: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    @property
    def event(self) -> tuple[str, ...]:
        """Names of what the event alone says."""
        return tuple(one.name for one in self.of_event)

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of what is derived from other features."""
        return tuple(one.name for one in self.of_features)

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """Names of all stored features, group after group."""
        return tuple(name for columns in self.stored.values() for name in columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the model's inputs, in order."""
        return self.event + self.stored_columns + self.derived

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Where each column comes from."""
        return {"event": self.event, **self.stored, "derived": self.derived}

    @property
    def formulas(self) -> dict[str, Tree]:
        """The formula of each column that has one."""
        return {one.name: one.tree for one in self.of_event + self.of_features}


NO_SERVICE = Service(name="", of_event=(), stored={}, of_features=())  # of a project without a model


def service_of(model: CompiledModel | None) -> Service:
    """Return what a model is given; of none, nothing."""
    if model is None:
        return NO_SERVICE
    return Service(
        name=model.name, of_event=computed(**model.of_event), stored=dict(model.groups),
        of_features=computed(**model.derived), categories=dict(model.categories),
    )  # fmt: skip
