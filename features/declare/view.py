"""Features that the rows of one source feed for one entity, and features that SQL computes from the lake."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from features.declare.aggregate import Aggregate
from features.declare.entity import Entity
from features.declare.source import Source
from features.declare.written_at import WrittenAt, written_at
from features.expressions import Expression

if TYPE_CHECKING:
    from features.definition import Feature

ROWS_MAX = 1 << 20  # of one key within a window: what measures are checked to have room for


@dataclass(frozen=True, eq=False)
class DeclaredView:
    """A view as it is declared; `view(...)` makes it.

    Args:
        features: aggregations, or `Feature` objects with explicit names, windows and aggregations.
        where: which rows are folded; the others move the key's clock and count nowhere.
        name: of the feature view in the store; `{entity}_{source}` without it.
        prefix: with which its features' names begin; the view's name without it.
        measure: what `Feature` objects aggregate, and `item` (fields joined by "+") what they tell apart.
        rows_max: how many rows of one key may lie in its longest window: `check` proves that their sums fit.
    """

    entity: Entity
    source: Source
    features: "tuple[Aggregate | Feature, ...]"
    _: KW_ONLY
    where: Expression | None = None
    name: str = ""
    prefix: str = ""
    measure: str = ""
    item: str = ""
    rows_max: int = ROWS_MAX
    written: WrittenAt = field(default_factory=written_at, repr=False)

    def __post_init__(self) -> None:
        name = self.name or f"{self.entity.name}_{self.source.name}"
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "prefix", self.prefix or name)


def view(
    entity: Entity, source: Source, features: "Sequence[Aggregate | Feature]", *,
    where: Expression | None = None, name: str = "", prefix: str = "", measure: str = "", item: str = "",
    rows_max: int = ROWS_MAX,
) -> DeclaredView:  # fmt: skip
    """Return the features that the rows of a source feed for an entity.

    >>> from features.declare import count
    >>> logins = Source("contracts/logins.yaml")
    >>> view(Entity("account_id"), logins, [count("1h")]).name
    'account_logins'
    >>> view(Entity("account_id"), logins, [count("1h")], name="failed").prefix
    'failed'
    """
    return DeclaredView(
        entity,
        source,
        tuple(features),
        where=where,
        name=name,
        prefix=prefix,
        measure=measure,
        item=item,
        rows_max=rows_max,
    )


@dataclass(frozen=True, eq=False)
class DeclaredBatchView:
    """Features that SQL computes from the lake; `batch_view(...)` makes it.

    Args:
        sql: a file in the project's folder; its statements are part of what the features mean.
        columns: the features, as the SQL calls them.
        max_age: how long a row is good for, as "8d".
        schedule: how often it is computed, as "1d".
        looks_back: how long before its day the rows may lie that its SQL counts, as "30d".
    """

    entity: Entity
    sql: str
    columns: tuple[str, ...]
    _: KW_ONLY
    name: str
    max_age: str
    schedule: str = "1d"
    looks_back: str = "30d"
    written: WrittenAt = field(default_factory=written_at, repr=False)


def batch_view(
    entity: Entity, sql: str, columns: Sequence[str], *, name: str, max_age: str, schedule: str = "1d",
    looks_back: str = "30d",
) -> DeclaredBatchView:  # fmt: skip
    """Return features that SQL computes from the lake on a schedule.

    >>> batch_view(Entity("account_id"), "sql/habit.sql", ["habit_hour"], name="habit", max_age="8d").columns
    ('habit_hour',)
    """
    return DeclaredBatchView(
        entity, sql, tuple(columns), name=name, max_age=max_age, schedule=schedule, looks_back=looks_back
    )
