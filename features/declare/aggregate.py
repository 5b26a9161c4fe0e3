"""What is asked of a key's rows: an aggregation over one window or several, each of which is a feature.

Windows are text: `"1h 24h 7d"`, and also `"lifetime"`, `"session_30m"` (ends when nothing came for that
long), `"last_10"` (the newest ten rows) and `"7d_delay_7d"` (as it was a week ago); or `Window` objects. A
feature is called `{prefix}_{field}_{aggregation}_{window}`; `name=` stands for all but the window.
`before=True` leaves out the row that is being scored, and adds `_before` to the name.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from features.declare.written_at import WrittenAt, written_at
from features.expressions import Expression

if TYPE_CHECKING:
    from features.definition import Window

Function = Literal[
    "count", "sum", "mean", "std", "min", "max", "quantile", "first", "since_first", "last", "last_k",
    "since_last", "distinct", "top_share", "decayed_sum", "share", "positives", "same_as_last", "first_seen",
]  # fmt: skip
Windows: TypeAlias = "str | Window | tuple[Window, ...]"


@dataclass(frozen=True, eq=False, kw_only=True)
class Aggregate:
    """One aggregation of a view; made by the functions below.

    Args:
        fields: the measure, or the field whose items are told apart; several fields make one item.
        windows: as text or objects; empty where the aggregation has none.
        name: the features' name without the window; made of prefix, field and aggregation without it.
        before: whether the row that is being scored is left out.
        size: k of last_k and top_share, thousandths of quantile.
        half_life: of decayed_sum, as "1h".
        condition: of share.
    """

    function: Function
    fields: tuple[str, ...] = ()
    windows: Windows = ""
    name: str = ""
    before: bool = False
    size: int = 0
    half_life: str = ""
    condition: Expression | None = None
    written: WrittenAt = field(default_factory=written_at, repr=False)


def count(windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return how many rows there are.

    >>> count("1h 24h").windows
    '1h 24h'
    """
    return Aggregate(function="count", windows=windows, name=name, before=before)


def sum_of(field: str, windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the sum of a measure."""
    return Aggregate(function="sum", fields=(field,), windows=windows, name=name, before=before)


def mean_of(field: str, windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the mean of a measure."""
    return Aggregate(function="mean", fields=(field,), windows=windows, name=name, before=before)


def std_of(field: str, windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the population standard deviation of a measure."""
    return Aggregate(function="std", fields=(field,), windows=windows, name=name, before=before)


def min_of(field: str, windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the smallest value of a measure."""
    return Aggregate(function="min", fields=(field,), windows=windows, name=name, before=before)


def max_of(field: str, windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the greatest value of a measure."""
    return Aggregate(function="max", fields=(field,), windows=windows, name=name, before=before)


def quantile_of(
    field: str, per_mille: int, windows: Windows, *, name: str = "", before: bool = False
) -> Aggregate:
    """Return the value that `per_mille` thousandths of the rows do not exceed, within 1.6 %."""
    return Aggregate(
        function="quantile", fields=(field,), windows=windows, name=name, before=before, size=per_mille
    )


def first_of(field: str, windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the oldest value of a measure."""
    return Aggregate(function="first", fields=(field,), windows=windows, name=name, before=before)


def last_of(field: str, windows: Windows = "", *, name: str = "", before: bool = True) -> Aggregate:
    """Return the newest value of a measure: without windows the newest there is."""
    return Aggregate(function="last", fields=(field,), windows=windows, name=name, before=before)


def last_values(field: str, k: int, *, name: str = "", before: bool = True) -> Aggregate:
    """Return the k newest values of a measure, a column each."""
    return Aggregate(function="last_k", fields=(field,), name=name, before=before, size=k)


def since_first(windows: Windows, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the milliseconds since the oldest row: over the lifetime, the age of the key."""
    return Aggregate(function="since_first", windows=windows, name=name, before=before)


def since_last(windows: Windows = "", *, name: str = "", before: bool = True) -> Aggregate:
    """Return the milliseconds since the newest row before this one."""
    return Aggregate(function="since_last", windows=windows, name=name, before=before)


def distinct(field: str | tuple[str, ...], windows: Windows, *, name: str = "") -> Aggregate:
    """Return how many different items of a field there are, exact to 128.

    >>> distinct(("city", "street"), "24h").fields
    ('city', 'street')
    """
    return Aggregate(function="distinct", fields=_fields(field), windows=windows, name=name)


def top_share(
    field: str | tuple[str, ...], k: int, windows: Windows, *, name: str = "", before: bool = False
) -> Aggregate:
    """Return the share of the rows that belong to the k most frequent items of a field."""
    return Aggregate(
        function="top_share", fields=_fields(field), windows=windows, name=name, before=before, size=k
    )


def decayed_sum(field: str, half_life: str, *, name: str = "", before: bool = False) -> Aggregate:
    """Return the sum of a measure in which a row is worth half as much after every half-life."""
    return Aggregate(function="decayed_sum", fields=(field,), half_life=half_life, name=name, before=before)


def share(
    windows: Windows, condition: Expression | None = None, *, name: str = "", before: bool = False
) -> Aggregate:
    """Return the share of rows for which a condition holds; of labels, without one, that are positive."""
    return Aggregate(function="share", windows=windows, name=name, before=before, condition=condition)


def positives(windows: Windows, *, name: str = "") -> Aggregate:
    """Return how many labels are positive."""
    return Aggregate(function="positives", windows=windows, name=name)


def same_as_last(field: str, *, name: str = "") -> Aggregate:
    """Return 1 where the row has the value of the key's row before it, else 0; null for the first row."""
    return Aggregate(function="same_as_last", fields=(field,), name=name, before=True)


def first_seen(field: str | tuple[str, ...], windows: Windows = "lifetime", *, name: str = "") -> Aggregate:
    """Return 1 where the key has no earlier row with the row's item in the window, else 0."""
    return Aggregate(function="first_seen", fields=_fields(field), windows=windows, name=name, before=True)


def _fields(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given
