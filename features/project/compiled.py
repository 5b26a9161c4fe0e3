"""A checked project: everything by name, and in the engine's own terms where the engine runs it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from contracts.contract_version import ContractVersion
from contracts.problem import Problem
from features.declare import DeclaredBatchView, DeclaredView, Entity, Model, Project, Source, WrittenAt
from features.declare.aggregate import Function
from features.definition import BatchView, EntitySource, Feature, View, Window
from features.definition import Entity as EngineEntity
from features.expressions import Tree

POSITIVE = "positive"  # the column that says whether a label is positive

Need = Literal["a key of several fields",]
"""What a declaration asks for that the engine does not run yet."""


@dataclass(frozen=True, kw_only=True)
class CompiledFeature:
    """One feature of a view.

    Args:
        columns: its own name, or one a value of last_k.
        fields: the measure or item; none for what counts rows.
        condition: of a share; of labels, the one that says which are positive.
        reach_ms: how long after its time a row may still count; 0 where the view's longest decides.
        feature: the engine's own form.
        written: where it was asked for.
    """

    name: str
    columns: tuple[str, ...]
    function: Function
    written: WrittenAt
    feature: Feature
    fields: tuple[str, ...] = ()
    window: Window | None = None
    before: bool = False
    condition: Tree | None = None
    reach_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class CompiledView:
    """A view in full.

    Args:
        time: the field of the time at which its rows count.
        measures: the fields that are aggregated; `items` those that are told apart.
        rows_allowed: by measure, how many rows of a key its range leaves room for.
        needs: what the engine does not run yet; `view` is the engine's own form when there is nothing.
    """

    declared: DeclaredView
    name: str
    entity: str
    source: str
    time: str
    features: tuple[CompiledFeature, ...]
    where: Tree | None = None
    measures: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    rows_allowed: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    view: View | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all its features' columns, in order."""
        return tuple(name for feature in self.features for name in feature.columns)


@dataclass(frozen=True, kw_only=True)
class CompiledModel:
    """A model's inputs: event fields, each entity's features in the chain's order, batch views, derived.

    `categories` are the values, by field, of those event fields that are an enum of the contract.
    """

    declared: Model
    name: str
    of_event: Mapping[str, Tree]
    groups: Mapping[str, tuple[str, ...]]
    derived: Mapping[str, Tree]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its inputs, in order."""
        stored = (name for columns in self.groups.values() for name in columns)
        return (*self.of_event, *stored, *self.derived)


@dataclass(frozen=True, kw_only=True)
class CompiledProject:
    """A project in full, and what is wrong with it.

    Args:
        contracts: by source, as far as they could be read: the newest version.
        older: by source, the versions before it, oldest first.
        problems: empty when the project may run.
    """

    folder: str
    declared: Project | None
    contracts: Mapping[Source, ContractVersion] = field(default_factory=dict)
    older: Mapping[Source, tuple[ContractVersion, ...]] = field(default_factory=dict)
    views: tuple[CompiledView, ...] = ()
    batch_views: Mapping[DeclaredBatchView, BatchView] = field(default_factory=dict)
    models: tuple[CompiledModel, ...] = ()
    problems: tuple[Problem, ...] = ()

    def versions(self, source: Source) -> tuple[ContractVersion, ...]:
        """Return all versions of a source's contract, oldest first."""
        return (*self.older.get(source, ()), self.contracts[source])

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the project asks for that the engine does not run yet."""
        of_views = (need for view in self.views for need in view.needs)
        of_models = (need for model in self.models for need in model.needs)
        return tuple(dict.fromkeys([*of_views, *of_models]))

    @property
    def feature_names(self) -> frozenset[str]:
        """Every name that a rule of the policy may use beside event fields."""
        stored = {name for view in self.views for name in view.columns}
        stored |= {name for view in self.batch_views.values() for name in view.columns}
        return frozenset(stored.union(*(model.columns for model in self.models)))

    @property
    def engine_entities(self) -> tuple[EngineEntity, ...]:
        """The chain's entities, each with its views and the sources of its rows as the engine runs them."""
        chain = self.declared.chain if self.declared else ()
        return tuple(
            EngineEntity(
                name=entity.name,
                join_key=entity.join_key,
                views=tuple(each.view for each in self.views if each.declared.entity is entity and each.view),
                sources=tuple(self._sources_of(entity)),
            )
            for entity in chain
        )

    def items_of(self, source: Source) -> frozenset[str]:
        """Return the fields of a source whose values its views tell apart."""
        views = (view for view in self.views if view.declared.source is source)
        return frozenset(name for view in views for item in view.items for name in item.split("+"))

    def _sources_of(self, entity: Entity) -> Iterator[EntitySource]:
        """Yield the sources whose rows the entity is asked about or folds: the scored one, and its views'."""
        sources = self.declared.sources if self.declared else ()
        read = {view.declared.source for view in self.views if view.declared.entity is entity}
        for number, source in enumerate(sources, 1):
            contract = self.contracts.get(source)
            if contract is not None and (number == 1 or source in read):
                yield EntitySource(number=number, name=source.name, time=time_of(source, contract))


def time_of(source: Source, contract: ContractVersion) -> str:
    """Return the field of the time at which a source's rows count; empty where the contract names none."""
    return (source.known_at or contract.known_at) if source.is_labels else contract.event_time
