"""Which columns of the lake an entity's state reads, and what names each row's place in the log."""

from typing import NamedTuple

from contracts.frame import Kind
from features.catalog import ENTITIES
from features.definition import Entity

PLACE = ("raw_partition", "raw_offset")
IDENTITY = ("transaction_id", *PLACE, "appended_ms", "event_time")
INTS = frozenset(["raw_partition", "raw_offset", "appended_ms", "pos", "kind", "late", "stage_partition"])


class Origin(NamedTuple):
    """A dataset that holds rows of an entity: their kind, and where it keeps the stage's partition."""

    dataset: str
    kind: Kind
    stage_partition: str


def origins(entity: Entity) -> tuple[Origin, ...]:
    """Return the datasets of the kinds of row that move the entity.

    >>> [origin.dataset for origin in origins(entity_named("terminal"))]
    ['features', 'label_log']
    """
    kinds = {view.rows for view in entity.views}
    payments = Origin("features", Kind.PAYMENT, f"{entity.name}_partition")
    labels = Origin("label_log", Kind.LABEL, "partition")  # a file of it is of one partition of the stage
    return tuple(origin for origin in (payments, labels) if origin.kind in kinds)


def facts(entity: Entity, kind: Kind) -> tuple[str, ...]:
    """Return the columns that the entity's views read of rows of a kind, the join key first."""
    read = [name for v in entity.views if v.rows == kind for name in (v.measure, v.time, v.item) if name]
    return tuple(dict.fromkeys([entity.join_key, *read]))


def all_facts(entity: Entity) -> tuple[str, ...]:
    """Return the columns that rows of any kind need."""
    return tuple(dict.fromkeys(name for origin in origins(entity) for name in facts(entity, origin.kind)))


def times(entity: Entity) -> dict[int, str]:
    """Return, by kind, the column of the time at which a row counts."""
    return {int(view.rows): view.time for view in entity.views}


def entity_named(name: str) -> Entity:
    """Return the entity of that name."""
    return next(entity for entity in ENTITIES if entity.name == name)
