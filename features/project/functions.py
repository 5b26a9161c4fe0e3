"""What each aggregation of a declaration takes, what it is called, and which of the engine's it is."""

from collections.abc import Callable, Mapping
from typing import cast

from features.aggregations import (
    Aggregation,
    Count,
    DecayedSum,
    Distinct,
    First,
    FirstSeen,
    Last,
    LastK,
    Max,
    Mean,
    Min,
    Quantile,
    SameAsLast,
    SinceFirst,
    SinceLast,
    Std,
    Sum,
    TopShare,
)
from features.declare import Aggregate
from features.declare.aggregate import Function
from features.project.durations import duration_ms

OF_MEASURE: frozenset[Function] = frozenset(
    ("sum", "mean", "std", "min", "max", "quantile", "first", "last", "last_k", "decayed_sum")
)
OF_ITEM: frozenset[Function] = frozenset(("distinct", "top_share", "first_seen", "same_as_last"))
OF_LABELS: frozenset[Function] = frozenset(("positives",))
SUMS: frozenset[Function] = frozenset(("sum", "mean", "std"))
NOT_SIGNED: frozenset[Function] = frozenset(("quantile", "decayed_sum"))
"""Buckets of values and sums in which nothing may cancel need values that are not negative."""

_ALWAYS_BEFORE: frozenset[Function] = frozenset(
    ("last", "last_k", "since_last", "same_as_last", "first_seen")
)
"""What is of the rows before the one being scored unless it says otherwise."""
_UNITS: Mapping[Function, str] = {"since_first": "_ms", "since_last": "_ms"}
_ENGINE: Mapping[Function, Callable[[Aggregate], Aggregation]] = {
    "count": lambda _: Count(),
    "sum": lambda _: Sum(),
    "mean": lambda _: Mean(),
    "std": lambda _: Std(),
    "min": lambda _: Min(),
    "max": lambda _: Max(),
    "quantile": lambda asked: Quantile(per_mille=asked.size),
    "first": lambda _: First(),
    "since_first": lambda _: SinceFirst(),
    "last": lambda _: Last(),
    "last_k": lambda asked: LastK(k=asked.size),
    "since_last": lambda _: SinceLast(),
    "distinct": lambda _: Distinct(),
    "top_share": lambda asked: TopShare(k=asked.size),
    "decayed_sum": lambda asked: DecayedSum(half_life_ms=duration_ms(asked.half_life)),
    "positives": lambda _: Sum(),
    "share": lambda _: Mean(),
    "first_seen": lambda _: FirstSeen(),
    "same_as_last": lambda _: SameAsLast(),
}


def engine_aggregation(asked: Aggregate) -> Aggregation:
    """Return the engine's aggregation.

    Raises:
        ConfigError: E_AGGREGATION_K, E_AGGREGATION_QUANTILE, E_AGGREGATION_HALF_LIFE or E_WINDOW_TEXT.
    """
    return _ENGINE[asked.function](asked)


def function_of(aggregation: Aggregation, of_labels: bool) -> Function:
    """Return what an aggregation is called in a declaration; labels are summed by being positive.

    >>> function_of(Sum(), of_labels=False), function_of(Sum(), of_labels=True)
    ('sum', 'positives')
    """
    word = cast(Function, aggregation.op.name.lower())
    return _OF_LABELS.get(word, word) if of_labels else word


_OF_LABELS: Mapping[Function, Function] = {"sum": "positives", "mean": "share"}


def feature_name(asked: Aggregate, prefix: str, label: str) -> str:
    """Return a feature's name; `label` is its window's, empty without one.

    >>> from features.declare import distinct, max_of, since_last
    >>> feature_name(distinct("device_id", "24h"), "account_logins", "24h")
    'account_logins_device_id_distinct_24h'
    >>> feature_name(max_of("amount", "30d", before=True), "account", "30d")
    'account_amount_max_30d_before'
    >>> feature_name(since_last(), "account_logins", ""), feature_name(since_last(name="idle_ms"), "x", "")
    ('account_logins_since_last_ms', 'idle_ms')
    """
    parts = [asked.name] if asked.name else [prefix, *_fields(asked), _word(asked)]
    if label:
        parts += [label, *(["before"] if asked.before and asked.function not in _ALWAYS_BEFORE else [])]
    return "_".join(parts) + ("" if asked.name else _UNITS.get(asked.function, ""))


def _fields(asked: Aggregate) -> tuple[str, ...]:
    return asked.fields or (asked.condition.tree.inputs() if asked.condition is not None else ())


def _word(asked: Aggregate) -> str:
    match asked.function:
        case "quantile":
            return f"quantile_{asked.size}"
        case "top_share":
            return f"top_{asked.size}_share"
        case "last_k":
            return f"last_{asked.size}"
        case "decayed_sum":
            return f"decayed_sum_{asked.half_life}"
    return asked.function
