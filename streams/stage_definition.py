"""Which stages there are: where each reads, writes, keeps its state, and whose rows it makes."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from contracts import topics
from features.catalog import CUSTOMER, TERMINAL
from features.definition import Entity
from features.meaning import meaning_of
from streams.customer import CustomerRows
from streams.stage import StageRows
from streams.stage_dead_letters import DeadLetterTopic
from streams.terminal import TerminalRows

StageName = Literal["customer", "terminal"]


class _Stage(NamedTuple):
    entity: Entity
    source: topics.Topic
    output: topics.Topic
    changelog: topics.Topic
    rows: Callable[[int, int], StageRows]


STAGES: dict[StageName, _Stage] = {
    "customer": _Stage(
        CUSTOMER, topics.EVENTS_CUSTOMER, topics.EVENTS_TERMINAL, topics.CHANGELOG_CUSTOMER, CustomerRows
    ),
    "terminal": _Stage(
        TERMINAL, topics.EVENTS_TERMINAL, topics.FEATURES_LOG, topics.CHANGELOG_TERMINAL, TerminalRows
    ),
}


class StageDefinition:
    """One stage of one run, by full topic names.

    >>> definition = StageDefinition("customer", "demo.")
    >>> definition.input_topic, definition.transactional_id(3), definition.source(3)
    ('demo.events.customer', 'demo.stage-customer-3', 'events.customer/3')
    """

    def __init__(self, name: StageName, topic_prefix: str, partitions: int = topics.PARTITIONS) -> None:
        stage = STAGES[name]
        self.name = name
        self.entity = stage.entity
        self.definitions_hash = meaning_of(stage.entity).hash
        self.input_topic = stage.source.full_name(topic_prefix)
        self.output_topic = stage.output.full_name(topic_prefix)
        self.changelog_topic = stage.changelog.full_name(topic_prefix)
        self.dead_letters = DeadLetterTopic(
            topics.TRANSACTIONS_DLQ.full_name(topic_prefix), topics.TRANSACTIONS.name, name
        )
        self.group = f"{topic_prefix}stage-{name}"
        self._source = stage.source.name
        self._output_partitions = partitions
        self._rows = stage.rows

    def source(self, partition: int) -> str:
        """Return the lane source of an input partition."""
        return f"{self._source}/{partition}"

    def transactional_id(self, partition: int) -> str:
        """Return the id that fences a predecessor on the same partition."""
        return f"{self.group}-{partition}"

    def rows(self, partition: int) -> StageRows:
        """Return empty state for an input partition."""
        return self._rows(partition, self._output_partitions)
