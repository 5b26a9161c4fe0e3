"""The stages of the card payments' chain, with empty state."""

from features.definition import Entity
from load.this_project import CUSTOMER, PIPELINE, TERMINAL
from streams.stage.entity_stage import EntityStage


def customer_rows(partition: int, partitions: int, entity: Entity = CUSTOMER) -> EntityStage:
    """Return the first stage's state for an input partition."""
    return EntityStage(PIPELINE, entity, partition, partitions)


def terminal_rows(partition: int, partitions: int, entity: Entity = TERMINAL) -> EntityStage:
    """Return the last stage's state for an input partition."""
    return EntityStage(PIPELINE, entity, partition, partitions)
