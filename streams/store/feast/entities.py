"""Feast's entities: the fields that keys are made of. Types are pinned, since they are part of a stored key.

Feast's entity has one join key. So a key of several fields is several entities here, all of which a view has.
"""

from collections.abc import Mapping
from typing import NamedTuple

from feast import Entity, Field, ValueType
from feast.types import Int64, String

from features.definition import Entity as Declared
from features.feast_key import KeyFormat, key_format
from features.project.running import RunningProject


class KeyedEntity(NamedTuple):
    """Whose rows they are: an entity of the chain, how it is keyed, and what Feast calls its fields."""

    entity: Declared
    key: KeyFormat
    entities: list[Entity]

    @property
    def schema(self) -> list[Field]:
        """The fields of its key, for a view."""
        typed = zip(self.key.fields, self.key.is_number, strict=True)
        return [Field(name=name, dtype=Int64 if number else String) for name, number in typed]


def owners(project: RunningProject) -> dict[str, KeyedEntity]:
    """Return the entities of the chain by name."""
    known = entities(project)
    return {
        entity.name: KeyedEntity(entity, key, [known[name] for name in key.fields])
        for entity in project.entities
        for key in (key_format(project.pipeline, entity),)
    }


def owner_of(project: RunningProject, join_key: str) -> KeyedEntity:
    """Return the entity whose key the store calls so."""
    return next(owner for owner in owners(project).values() if owner.entity.join_key == join_key)


def entities(project: RunningProject) -> Mapping[str, Entity]:
    """Return Feast's entities by the field that each is the key of.

    A field that alone is the key of an entity of the chain has its name, any other its own without `_id`.
    """
    found: dict[str, Entity] = {}
    formats = [(entity, key_format(project.pipeline, entity)) for entity in project.entities]
    names = {key.fields[0]: entity.name for entity, key in formats if len(key.fields) == 1}
    for _, key in formats:
        for field, number in zip(key.fields, key.is_number, strict=True):
            kind = ValueType.INT64 if number else ValueType.STRING
            name = names.get(field) or _free(field, {entity.name for entity in project.entities})
            found[field] = Entity(name=name, join_keys=[field], value_type=kind)
    return found


def _free(field: str, taken: set[str]) -> str:
    """Return a name for a field that no entity of the chain has."""
    short = field.removesuffix("_id")
    return field if short in taken else short
