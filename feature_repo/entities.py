"""Feast's entities: whose features they are. The key's type is pinned, since it is part of the stored key."""

from feast import Entity, ValueType

from features.catalog import ENTITIES


def entities() -> dict[str, Entity]:
    """Return Feast's entities by join key."""
    return {
        e.join_key: Entity(name=e.name, join_keys=[e.join_key], value_type=ValueType.STRING) for e in ENTITIES
    }
