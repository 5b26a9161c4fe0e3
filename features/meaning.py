"""What stored numbers mean: one hash an entity for its state, one a feature for whoever reads it by name.

State is of one entity, so a change to one entity's features leaves another's state as it is. A value
that is read by its name (a model's input, a column of the lake) is the same as long as its own declaration
is, whatever stands beside it.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from msgspec import structs

from contracts.meaning import Meaning, Meanings
from features.aggregations import Distinct
from features.definition import STATE_RULES, Entity, Feature, View, definitions_hash


@cache
def meaning_of(entity: Entity) -> Meaning:
    """Return what this code means by an entity's columns.

    >>> from features.project.running import project_at
    >>> entity = project_at("examples/logins").entities[0]
    >>> meaning = meaning_of(entity)
    >>> meaning.columns == entity.columns, len(meaning.hash)
    (True, 16)
    """
    features = {
        name: feature_hash(view, f) for view in entity.views for f in view.features for name in f.columns
    }
    return Meaning(entity=entity.name, hash=definitions_hash(entity, STATE_RULES), features=features)


def meanings_of(entities: Iterable[Entity], folder: Path | None = None) -> Meanings:
    """Return the definitions of entities, and those of before that are noted in a folder."""
    return Meanings(tuple(meaning_of(entity) for entity in entities), folder)


def feature_hash(view: View, feature: Feature) -> str:
    """Return 16 hex digits that change when the values of a feature may: not when its neighbours do.

    What has no window of its own, a window of the last rows and a session forget rows past the view's longest
    window, and a sketch of distinct items past the longest of the tiles: they change with a neighbour's.
    """
    reach_ms = 0
    if feature.window is None or feature.window.kind in ("last", "session"):
        reach_ms = view.longest_ms
    elif isinstance(feature.aggregation, Distinct):
        reach_ms = max(f.window.length_ms for f in view.features if f.window is not None and f.in_tiles)
    alone = structs.replace(view, features=(feature,), beside=view.features).in_full
    source: tuple[object, ...] = (view.source or int(view.rows), view.time, view.where, alone.types)
    if view.items == "replace":
        source = (*source, view.item, "newest time")
    return definitions_hash(alone.features[0], *source, reach_ms)
