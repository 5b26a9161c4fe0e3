"""A project's records on their way: its sources, and the stages that all of them visit in the chain's order.

Gate, stages, archive and readers are given a `Pipeline` and know nothing else of the project: its topics,
the columns of its rows, which source's rows a topic holds, all follow from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray

from contracts import topics
from contracts.chain import Chain, Link
from contracts.contract_version import ContractField, ContractVersion
from contracts.errors import ConfigError
from contracts.frame import Columns
from contracts.topics import DAY_MS, Topic

Role = Literal["scored", "context", "labels"]
Mark = Callable[[Columns], NDArray[Any]]

SCORED = 1  # the number of the scored source
SOURCES_MAX = 200  # a frame has one byte for the number


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceStream:
    """One source: whose records come in by one topic, under one contract.

    Args:
        number: what frames of its rows are marked with; 1 is the scored source.
        name: what the project calls it.
        role: each scored record asks for a decision; labels say what became of one; context is folded only.
        versions: of its contract, oldest first.
        time: the field by whose time its rows move clocks and count.
        ids: the fields that name a record, or the record that a label is of; none: its place in the log does.
        deduplicate_ms: for how long an id that comes again is dropped, by the partition's clock.
        hashed: personal fields that a key needs: they leave the gate as their keyed hash.
        marks: columns of 0 and 1 that the gate adds, by name.
    """

    number: int
    name: str
    role: Role
    versions: tuple[ContractVersion, ...]
    time: str
    ids: tuple[str, ...] = ()
    deduplicate_ms: int = DAY_MS
    hashed: frozenset[str] = frozenset()
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """The topic of its records, without a run's prefix."""
        return self.versions[-1].topic

    @property
    def is_scored(self) -> bool:
        """Whether its records ask for decisions."""
        return self.role == "scored"

    @property
    def is_labels(self) -> bool:
        """Whether its records say what became of others."""
        return self.role == "labels"

    @cached_property
    def fields(self) -> tuple[ContractField, ...]:
        """The fields of the newest contract that leave the gate, each as a column.

        Personal ones do where a key needs them, as their hash; objects, lists and long texts have no column.
        """
        return self.leaving(self.versions[-1])

    def leaving(self, version: ContractVersion) -> tuple[ContractField, ...]:
        """Return the fields of a version that leave the gate, as they are then: a hash is a text."""
        kept = (
            each for each in version.fields if each.column and (not each.personal or each.name in self.hashed)
        )
        return tuple(_as_hash(each) if each.name in self.hashed else each for each in kept)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of these fields."""
        return tuple(field.name for field in self.fields)

    def always_has(self, link: Link) -> bool:
        """Return whether each of its records has the key of a stage.

        Raises no error for a field that it has not: then no record has the key.
        """
        return all(map(self.always_has_field, link.fields))

    def always_has_field(self, name: str) -> bool:
        """Return whether a field is null in none of its records, under whatever version they came."""
        found = [version.by_name.get(name) for version in self.versions]
        return name in self.names and all(each is not None and each.is_never_null for each in found)

    @cached_property
    def records(self) -> Topic:
        """The topic of its records."""
        return Topic(
            name=self.topic, key=self.versions[-1].key_field or "any", owner="producers",
            log_append_time=True, made_again=True, about=f"{_ABOUT[self.role]}, JSON",
        )  # fmt: skip

    @cached_property
    def dead_letters(self) -> Topic:
        """The topic of its records that were refused."""
        return Topic(
            name=f"{self.topic}.dlq", key="as the refused record", owner="gate, stages", made_again=True,
            about=f"refused records of {self.topic}, bytes unchanged, code and origin in headers",
        )  # fmt: skip


def _as_hash(plain: ContractField) -> ContractField:
    """Return a personal field as it leaves the gate: a text of 32 letters, and null where it was."""
    return msgspec.structs.replace(
        plain, type="string", low=int(plain.is_never_null), high=None, enum=(), accepted="", letters=False
    )


_ABOUT: Mapping[Role, str] = {
    "scored": "records that ask for a decision, as published",
    "context": "records that are folded into windows, as published",
    "labels": "what a scored record turned out to be",
}


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The records of a project, from its sources to the log of features.

    Args:
        name: the project's.
        sources: the scored one first, each with the number of its place, from 1.

    Raises:
        ConfigError: E_PIPELINE_SOURCES, two sources read one topic, or a field has two types.
    """

    name: str
    chain: Chain
    sources: tuple[SourceStream, ...]

    def __post_init__(self) -> None:
        names = [source.topic for source in self.sources]
        double = next((name for name in names if names.count(name) > 1), "")
        if double or not 0 < len(names) <= SOURCES_MAX:
            what = f"two sources read the topic {double!r}" if double else f"{len(names)} sources"
            raise ConfigError("E_PIPELINE_SOURCES", what, self.name, "declare one source a topic")
        for name, fields in self.fields_by_name.items():
            kinds = {
                f"{field.type} of scale {field.scale}" if field.scale else field.type for field in fields
            }
            if len(kinds) > 1:
                raise ConfigError(
                    "E_PIPELINE_SOURCES",
                    f"the field {name!r} is {' and '.join(sorted(kinds))} in two sources or versions",
                    self.name, "call one of them otherwise: physicalName says where it is in the record",
                )  # fmt: skip

    @property
    def scored(self) -> SourceStream:
        """The source whose records ask for decisions."""
        return self.sources[0]

    @cached_property
    def labels(self) -> tuple[SourceStream, ...]:
        """The sources of labels."""
        return tuple(source for source in self.sources if source.is_labels)

    @cached_property
    def by_number(self) -> Mapping[int, SourceStream]:
        """The sources by the number that frames of their rows carry."""
        return {source.number: source for source in self.sources}

    @cached_property
    def by_topic(self) -> Mapping[str, SourceStream]:
        """The sources by topic, without a run's prefix."""
        return {source.topic: source for source in self.sources}

    @cached_property
    def horizons_ms(self) -> Mapping[int, int]:
        """For how long each source's ids are remembered, by its number."""
        return {source.number: source.deduplicate_ms for source in self.sources}

    @cached_property
    def fields_by_name(self) -> Mapping[str, tuple[ContractField, ...]]:
        """The fields that leave the gate, of all sources, by name: in every version that has one."""
        found: dict[str, tuple[ContractField, ...]] = {}
        for source in self.sources:
            for each in (each for version in source.versions for each in source.leaving(version)):
                if each.name in source.names:
                    found[each.name] = (*found.get(each.name, ()), each)
        return found

    @cached_property
    def stage_inputs(self) -> Mapping[str, Topic]:
        """The topic that each stage reads, by entity."""
        return {link.name: self._stage_input(link) for link in self.chain.links}

    @cached_property
    def changelogs(self) -> Mapping[str, Topic]:
        """The topic that keeps each stage's state, by entity."""
        return {
            link.name: Topic(
                name=link.changelog, key=link.key, owner=f"{link.name} stage", compacted=True,
                about="the stage's state and markers, one partition an input partition",
            )
            for link in self.chain.links
        }  # fmt: skip

    @cached_property
    def features_log(self) -> Topic:
        """The topic behind the last stage."""
        last = self.chain.last
        return msgspec.structs.replace(
            topics.FEATURES_LOG, key=last.key, owner=f"{last.name} stage",
            about=f"rows of all sources with all as-of values, in {last.input}'s order",
        )  # fmt: skip

    @cached_property
    def source_topics(self) -> tuple[Topic, ...]:
        """The sources' topics, and those of what was refused of them."""
        return (*(s.records for s in self.sources), *(s.dead_letters for s in self.sources))

    @cached_property
    def topics(self) -> tuple[Topic, ...]:
        """Every topic of the project."""
        return (
            *self.source_topics, *self.stage_inputs.values(), self.features_log, *topics.OF_EVERY_PROJECT,
            *self.changelogs.values(), topics.CLOCK,
        )  # fmt: skip

    def log_dataset(self, source: SourceStream) -> str:
        """Return the dataset of the lake that keeps a source's rows as the log of features has them."""
        if source.is_scored:
            return "features"
        return "label_log" if self.labels == (source,) else f"{source.name}_log"

    def table(self, partitions: int) -> tuple[Topic, ...]:
        """Return the topics of a run with that many partitions: as many as workers of a kind, not more."""
        return tuple(
            topic if topic.single else msgspec.structs.replace(topic, partitions=partitions)
            for topic in self.topics
        )

    def _stage_input(self, link: Link) -> Topic:
        """Return the topic that a stage reads: rows of every source, with the values of all before it."""
        visited = self.chain.before(link)
        values = f" with values as of each {' and '.join(one.name for one in visited)}" if visited else ""
        return Topic(
            name=link.input, key=link.key, owner=f"{visited[-1].name} stage" if visited else "gate",
            about=f"accepted records of every source{values}, as record batches",
        )  # fmt: skip
