"""A project as the processes run it: its records' way, its entities' windows, what its model is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.chain import Chain
from contracts.contract_version import ContractField, ContractVersion
from contracts.errors import ConfigError
from contracts.event_identity import EventIdentity, identity_in
from contracts.frame import Columns
from contracts.pipeline import Mark, Pipeline, Role, SourceStream
from contracts.topics import DAY_MS
from features.declare import CLOCK_FIELDS, Source
from features.definition import STATE_RULES, BatchView, Entity, definitions_hash
from features.expressions import Program, Tree
from features.expressions.wire import columns_of_wire
from features.project.compiled import POSITIVE, CompiledModel, CompiledProject
from features.project.decisions import Decisions, decisions_of
from features.project.load import project_of
from features.project.policy_file import FILE
from features.project.schema import stage_schema
from features.project.service import Service, service_of
from runtime.project_folder import project_folder


@dataclass(frozen=True, eq=False)
class RunningProject:
    """A project that has nothing wrong with it, in the engine's own terms.

    >>> project = project_at("examples/logins")
    >>> project.name, project.pipeline.chain.names, [source.topic for source in project.pipeline.sources]
    ('logins', ('account', 'device', 'ip'), ['logins', 'takeovers', 'resets'])
    """

    compiled: CompiledProject

    @property
    def name(self) -> str:
        """The project's name."""
        return self.pipeline.name

    @property
    def keyspace(self) -> str:
        """What Feast and the online store call it."""
        assert self.compiled.declared is not None
        return self.compiled.declared.feast_name

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return Path(self.compiled.folder)

    @cached_property
    def pipeline(self) -> Pipeline:
        """Its records' way from the sources to the log of features."""
        declared = self.compiled.declared
        assert declared is not None
        keys = frozenset(name for entity in declared.chain for name in entity.fields)
        items = {source: self.compiled.items_of(source) for source in declared.sources}
        return Pipeline(
            name=declared.name,
            chain=Chain(*((entity.name, entity.fields) for entity in declared.chain)),
            sources=tuple(
                _stream(number, source, self.compiled.versions(source), declared.scored, keys | items[source])
                for number, source in enumerate(declared.sources, 1)
            ),
        )

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """The chain's entities with their views, in its order."""
        return self.compiled.engine_entities

    @cached_property
    def batch_views(self) -> tuple[BatchView, ...]:
        """The views that SQL computes."""
        return tuple(self.compiled.batch_views.values())

    @cached_property
    def profile(self) -> BatchView:
        """The batch view served beside an entity's windows; one without columns where there is none."""
        none = BatchView(name="", join_key=self.entities[0].join_key, columns=(), max_age_ms=0)
        return next(iter(self.batch_views), none)

    @cached_property
    def profiled(self) -> Entity:
        """The entity by whose key the batch view is read."""
        found = (entity for entity in self.entities if entity.join_key == self.profile.join_key)
        return next(found, self.entities[0])

    @cached_property
    def definitions_hash(self) -> str:
        """The hash of everything that says what its features are."""
        return definitions_hash(*self.entities, self.profile, self.service, STATE_RULES)

    @cached_property
    def event(self) -> EventIdentity:
        """How its scored events are named in decisions."""
        return identity_in(self.pipeline)

    @cached_property
    def service(self) -> Service:
        """What its model is given; without a model everything that its entities keep."""
        if self.model is not None:
            return service_of(self.model)
        stored = {entity.name: entity.columns for entity in self.entities}
        stored |= {view.name: view.columns for view in self.batch_views}
        return Service(name=self.name, of_event=(), stored=stored, of_features=())

    @cached_property
    def decisions(self) -> Decisions:
        """What may be decided about its events."""
        return decisions_of(self.compiled)

    @property
    def policy_path(self) -> Path:
        """Where its policy would be, whether or not it brings one."""
        return self.folder / FILE

    @property
    def policy_file(self) -> Path | None:
        """The policy that it brings; None where it has none."""
        return self.policy_path if self.policy_path.exists() else None

    @property
    def watched(self) -> tuple[str, ...]:
        """The model's inputs whose mean is watched for drift."""
        if self.model is None:
            return ()
        service, entities = self.service, [entity.name for entity in self.entities]
        numbers = [n for n in service.event if n not in (*service.categories, *CLOCK_FIELDS)]
        firsts = [name for entity in entities for name in service.stored.get(entity, ())[:1]]
        return self.model.declared.watched or (*numbers, *firsts)

    @property
    def money(self) -> str:
        """The field that says what an event is worth; empty where none does."""
        return self.compiled.declared.money if self.compiled.declared else ""

    @property
    def model(self) -> CompiledModel | None:
        """The model whose inputs are put together; None where the project has features only."""
        return self.compiled.models[0] if self.compiled.models else None

    @property
    def scored_contract(self) -> ContractVersion:
        """The contract of the records that ask for decisions."""
        declared = self.compiled.declared
        assert declared is not None
        return self.compiled.contracts[declared.scored]


def running_project(folder: Path) -> RunningProject:
    """Return the project of a folder, ready to run.

    Raises:
        ConfigError: the first problem that `load_project` finds; E_PROJECT_NOT_RUN, it asks for what the
            engine does not run.
    """
    compiled = project_of(folder)
    if compiled.needs:
        raise ConfigError(
            "E_PROJECT_NOT_RUN", f"it asks for {', '.join(compiled.needs)}, which the engine does not run",
            str(folder), "take these out of features.py; `headrace check` shows where they stand",
        )  # fmt: skip
    return RunningProject(compiled)


def project_of_process() -> RunningProject:
    """Return the project that `HEADRACE_PROJECT` names, else that of the current folder or the installed one.

    It is read once a process: what becomes of its files afterwards is the next process's matter.

    Raises:
        ConfigError: as `running_project` and `project_folder`.
    """
    return project_at(str(project_folder()))


@cache
def project_at(folder: str) -> RunningProject:
    """Return the project of a folder; it is loaded once.

    Raises:
        ConfigError: as `running_project`.
    """
    return running_project(Path(folder))


def _stream(
    number: int, source: Source, versions: tuple[ContractVersion, ...], scored: Source, keys: frozenset[str]
) -> SourceStream:
    """Return a source as its records come in; a field that one version calls personal is so in all."""
    role: Role = "labels" if source.is_labels else "scored" if source is scored else "context"
    contract = versions[-1]
    known_at = source.known_at or contract.known_at
    personal = frozenset(field.name for version in versions for field in version.fields if field.personal)
    return SourceStream(
        number=number,
        name=source.name,
        role=role,
        versions=tuple(
            msgspec.structs.replace(
                version,
                topic=source.topic or contract.topic,
                known_at=known_at,
                fields=_with_personal(version, personal),
            )
            for version in versions
        ),
        time=known_at if source.is_labels else contract.event_time,
        ids=contract.id_fields,
        deduplicate_ms=contract.deduplicate_ms or DAY_MS,
        hashed=keys & personal,
        marks=_marks(source, contract),
    )


def _with_personal(version: ContractVersion, personal: frozenset[str]) -> tuple[ContractField, ...]:
    return tuple(msgspec.structs.replace(field, personal=field.name in personal) for field in version.fields)


def _marks(source: Source, contract: ContractVersion) -> Mapping[str, Mark]:
    """Return what says whether a label is positive."""
    if source.positive is None:
        return {}
    return {POSITIVE: _condition(source.positive.tree, contract)}


def _condition(tree: Tree, contract: ContractVersion) -> Mark:
    """Return what says of each row whether a condition holds."""
    schema = stage_schema(contract)
    program = Program({POSITIVE: tree}, schema, truth_only=True)

    def holds(rows: Columns) -> NDArray[np.uint8]:
        found = program.evaluate(columns_of_wire(rows, schema, program.inputs))[POSITIVE]
        return np.asarray(found.values, np.uint8)

    return holds
