"""Which stages there are: where each reads, writes, keeps its state, and whose rows it makes."""

from collections.abc import Callable
from typing import NamedTuple, Self

from contracts import topics
from contracts.lanes import LaneWriter
from features.definition import Entity
from features.meaning import meaning_of
from features.project.running import RunningProject
from streams.stage.core import StageRows, Writer
from streams.stage.dead_letters import DeadLetterTopic
from streams.stage.entity_stage import EntityStage
from streams.stage.settings import StageSettings


class Stage(NamedTuple):
    """What one stage is made of, names without a run's prefix.

    `rows` makes empty state for (entity, input partition, output partitions). A stage that is not `online`
    writes no rows to the online store.
    """

    project: RunningProject
    name: str
    entity: Entity
    source: topics.Topic
    output: topics.Topic
    changelog: topics.Topic
    rows: Callable[[Entity, int, int], StageRows]
    online: bool = True
    writer: Callable[[str, int], Writer] = LaneWriter


def stage_of(project: RunningProject, name: str) -> Stage:
    """Return the stage of an entity of the chain.

    Raises:
        ConfigError: E_CHAIN, no entity has this name.
    """
    pipeline = project.pipeline
    link = pipeline.chain.named(name)
    following = pipeline.chain.after(link)
    return Stage(
        project=project, name=link.name, entity=project.entities[link.place],
        source=pipeline.stage_inputs[link.name],
        output=pipeline.stage_inputs[following.name] if following else pipeline.features_log,
        changelog=pipeline.changelogs[link.name],
        rows=lambda entity, partition, outputs: EntityStage(pipeline, entity, partition, outputs),
    )  # fmt: skip


class StageDefinition:
    """One stage of one run, by full topic names.

    `tiles` says whether its rows in the online store carry the key's tiles, for readers after the event.

    >>> from features.project.running import project_at
    >>> definition = StageDefinition(stage_of(project_at("examples/logins"), "account"), "demo.")
    >>> definition.input_topic, definition.transactional_id(3), definition.source(3)
    ('demo.events.account', 'demo.stage-account-3', 'events.account/3')
    """

    def __init__(
        self,
        stage: Stage,
        topic_prefix: str,
        partitions: int = topics.PARTITIONS,
        tiles: bool = True,
    ) -> None:
        self.project, self.pipeline = stage.project, stage.project.pipeline
        self.name = stage.name
        self.entity = stage.entity
        self.online = stage.online
        self.tiles = tiles and stage.online
        self.definitions_hash = meaning_of(stage.entity).hash
        self.input_topic = stage.source.full_name(topic_prefix)
        self.output_topic = stage.output.full_name(topic_prefix)
        self.changelog_topic = stage.changelog.full_name(topic_prefix)
        self.dead_letters = DeadLetterTopic(self.pipeline, topic_prefix, stage.name, partitions)
        self.group = f"{topic_prefix}stage-{stage.name}"
        self._output_partitions = partitions
        self._stage = stage

    @classmethod
    def of(cls, stage: Stage, settings: StageSettings) -> Self:
        """Return the definition of a stage as a run's settings have it."""
        return cls(stage, settings.topic_prefix, settings.partitions, settings.store.tiles)

    def source(self, partition: int) -> str:
        """Return the lane source of an input partition."""
        return f"{self._stage.source.name}/{partition}"

    def transactional_id(self, partition: int) -> str:
        """Return the id that fences a predecessor on the same partition."""
        return f"{self.group}-{partition}"

    def rows(self, partition: int) -> StageRows:
        """Return empty state for an input partition."""
        rows = self._stage.rows(self.entity, partition, self._output_partitions)
        rows.tiles = self.tiles
        return rows

    def writer(self, partition: int, base: int) -> Writer:
        """Return what makes records of the output rows, for an incarnation that begins at `base`."""
        return self._stage.writer(self.source(partition), base)
