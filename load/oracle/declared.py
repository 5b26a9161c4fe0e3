"""Declarations as data, with the attributes that the definition of the windows asks for."""

from types import SimpleNamespace
from typing import Any

from load.oracle.dump import Declared

OF_VIEW = {"measure": "", "item": "", "condition": None}  # what a feature is of where it does not say


def entity(declared: Declared, name: str) -> Any:
    """Return a declared entity: join_key, views, their features, windows and aggregations."""
    found = next(one for one in declared.entities if one["name"] == name)
    views = [
        {"where": None, "types": [], **view, "features": [{**OF_VIEW, **one} for one in view["features"]]}
        for view in found["views"]
    ]
    return _thing({"sources": [], **found, "views": views})


def _thing(data: Any) -> Any:
    """Return nested mappings as objects; one with `class` becomes an object of a class of that name."""
    if isinstance(data, list):
        return [_thing(item) for item in data]
    if not isinstance(data, dict):
        return data
    fields = {name: _thing(value) for name, value in data.items() if name != "class"}
    kind = type(data["class"], (SimpleNamespace,), {}) if "class" in data else SimpleNamespace
    return kind(**fields)


def columns(of: Any) -> list[str]:
    """Return the names of an entity's columns, view after view."""
    return [name for view in of.views for name in view_columns(view)]


def view_columns(view: Any) -> list[str]:
    """Return the names of a view's columns; the last k values are columns name_1 to name_k."""
    return [
        name for f in view.features
        for name in (
            [f"{f.name}_{i + 1}" for i in range(f.aggregation.width)]
            if type(f.aggregation).__name__ == "LastK" else [f.name]
        )
    ]  # fmt: skip
