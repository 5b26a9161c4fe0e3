"""What a project is, as plain data: written as the declarations of a user, and told to the oracle, apart.

A view is drawn once as data. `written` makes the user's Python of it, which the engine compiles; `told_view`
makes what the oracle is given: features with their windows in milliseconds, conditions as texts. Nothing of
the engine has a hand in the second.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LIFETIME = 1 << 62
WINDOWS: dict[str, dict[str, Any]] = {
    "10m": {"kind": "sawtooth", "length_ms": 10 * MINUTE, "hop_ms": 50_000},
    "1h": {"kind": "sawtooth", "length_ms": HOUR, "hop_ms": 5 * MINUTE},
    "2h": {"kind": "sawtooth", "length_ms": 2 * HOUR, "hop_ms": 10 * MINUTE},
    "5m": {"kind": "sawtooth", "length_ms": 5 * MINUTE, "hop_ms": 25_000},
    "24h": {"kind": "sawtooth", "length_ms": DAY, "hop_ms": 2 * HOUR},
    "7d": {"kind": "sawtooth", "length_ms": 7 * DAY, "hop_ms": 12 * HOUR},
    "30d": {"kind": "sawtooth", "length_ms": 30 * DAY, "hop_ms": 2 * DAY},
    "lifetime": {"kind": "lifetime", "length_ms": LIFETIME, "hop_ms": LIFETIME},
    "session_30m": {"kind": "session", "length_ms": 30 * MINUTE, "hop_ms": 0},
    "last_3": {"kind": "last", "length_ms": 0, "hop_ms": 0, "rows": 3},
    "3h": {"kind": "sawtooth", "length_ms": 3 * HOUR, "hop_ms": 10 * MINUTE},
    "6h": {"kind": "sawtooth", "length_ms": 6 * HOUR, "hop_ms": 30 * MINUTE},
    "1h_delay_2h": {"kind": "delayed", "length_ms": HOUR, "hop_ms": 5 * MINUTE, "delay_ms": 2 * HOUR},
    "3h_delay_2h": {"kind": "delayed", "length_ms": 3 * HOUR, "hop_ms": 10 * MINUTE, "delay_ms": 2 * HOUR},
    "1h_delay_1h": {"kind": "delayed", "length_ms": HOUR, "hop_ms": 5 * MINUTE, "delay_ms": HOUR},
}
"""Every window that is drawn, spelled out: a sawtooth of length L hops by what docs/windows.md says of L."""

OF_MEASURE = {
    "sum": "Sum", "mean": "Mean", "std": "Std", "min": "Min", "max": "Max", "first": "First", "last": "Last",
}  # fmt: skip
OF_ROWS = {"count": "Count", "since_first": "SinceFirst", "since_last": "SinceLast"}
OF_ITEM = {
    "distinct": "Distinct", "top_share": "TopShare", "same_as_last": "SameAsLast", "first_seen": "FirstSeen",
}  # fmt: skip
BEFORE_BY_ITSELF = ("last", "last_k", "since_last", "same_as_last", "first_seen")


class Asked(NamedTuple):
    """One aggregation of a view; `windows` is a text such as "10m 1h", empty for none.

    `condition` has its Python and its text.
    """

    function: str
    name: str
    windows: str = "1h"
    field: str = ""
    item: str = ""
    before: bool = False
    condition: tuple[str, str] = ("", "")


class ViewOf(NamedTuple):
    """A view: its entity and source by name, and `where` as Python and text."""

    name: str
    entity: str
    source: str
    asked: Sequence[Asked]
    where: tuple[str, str] = ("", "")


class Typed(NamedTuple):
    """A column as conditions read it."""

    kind: str
    nullable: bool
    scale: int = 0


def written(asked: Asked) -> str:
    """Return the declaration of an aggregation as a user writes it."""
    field, item, more = repr(asked.field), repr(asked.item), f"name={asked.name!r}, before={asked.before}"
    windows = repr(asked.windows)
    match asked.function:
        case "count" | "since_first":
            return f"{asked.function}({windows}, {more})"
        case "since_last":
            return f"since_last({more})"
        case "last" if not asked.windows:
            return f"last_of({field}, {more})"
        case "last_k":
            return f"last_values({field}, 2, {more})"
        case "quantile":
            return f"quantile_of({field}, 500, {windows}, {more})"
        case "decayed_sum":
            return f"decayed_sum({field}, '10m', {more})"
        case "distinct":
            return f"distinct({item}, {windows}, name={asked.name!r})"
        case "top_share":
            return f"top_share({item}, 1, {windows}, {more})"
        case "share" if asked.condition[0]:
            return f"share({windows}, {asked.condition[0]}, {more})"
        case "share":
            return f"share({windows}, {more})"
        case "positives":
            return f"positives({windows}, name={asked.name!r})"
        case "same_as_last":
            return f"same_as_last({item}, name={asked.name!r})"
        case "first_seen":
            return f"first_seen({item}, {windows}, name={asked.name!r})"
    return f"{asked.function}_of({field}, {windows}, {more})"


def told(asked: Asked) -> list[dict[str, Any]]:
    """Return what the oracle is told of an aggregation: a feature for each window."""
    function, condition = asked.function, asked.condition[1] or None
    shape: dict[str, Any] = {
        "class": OF_MEASURE.get(function) or OF_ROWS.get(function) or OF_ITEM.get(function)
    }
    measure = asked.field if function in (*OF_MEASURE, "last_k", "quantile", "decayed_sum") else ""
    if function == "last_k":
        shape = {"class": "LastK", "k": 2, "width": 2}
    elif function == "quantile":
        shape = {"class": "Quantile", "per_mille": 500}
    elif function == "decayed_sum":
        shape = {"class": "DecayedSum", "half_life_ms": 10 * MINUTE}
    elif function == "top_share":
        shape["k"] = 1
    elif function in ("positives", "share"):
        shape, measure = (
            {"class": "Sum" if function == "positives" else "Mean"},
            "" if condition else "positive",
        )
    current = function in ("distinct", "positives") or not (
        asked.before or function in ("same_as_last", "first_seen")
    )
    return [
        {
            "name": _name(asked, label), "aggregation": shape, "window": _window(label), "current": current,
            "measure": measure, "item": asked.item if function in OF_ITEM else "",
            "condition": condition if function == "share" else None,
        }
        for label in asked.windows.split() or [""]
    ]  # fmt: skip


def told_view(
    view: ViewOf, number: int, time: str, ids: Sequence[str], types: Mapping[str, Typed]
) -> dict[str, Any]:
    """Return what the oracle is told of a view; `ids` are of labels, which replace each other by them."""
    return {
        "name": view.name, "rows": number, "time": time, "where": view.where[1] or None, "measure": "",
        "item": "+".join(ids), "items": "replace" if ids else "none",
        "types": [[name, kind._asdict()] for name, kind in types.items()],
        "features": [feature for asked in view.asked for feature in told(asked)],
    }  # fmt: skip


def columns_of(view: ViewOf) -> list[str]:
    """Return the names of a view's columns."""
    return [
        name for asked in view.asked for one in told(asked)
        for name in _names(one["name"], 2 if asked.function == "last_k" else 0)
    ]  # fmt: skip


def _names(name: str, width: int) -> list[str]:
    return [f"{name}_{at + 1}" for at in range(width)] or [name]


def _window(label: str) -> dict[str, Any] | None:
    return {"label": label, "delay_ms": 0, "rows": 0, **WINDOWS[label]} if label else None


def _name(asked: Asked, label: str) -> str:
    if not label:
        return asked.name
    shown = asked.before and asked.function not in BEFORE_BY_ITSELF
    return f"{asked.name}_{label}_before" if shown else f"{asked.name}_{label}"
