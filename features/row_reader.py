"""Which rows of a batch count for each group of a view, and what of them is folded in.

A row counts where it is of the view's source, `where` holds, and the group's measure or item is not null;
every other row only moves its key's clock. Nulls are those of the wire (`features.expressions.wire`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.keys import joined_hash
from features.definition import View
from features.expressions import Program, Schema, Tree
from features.expressions.wire import columns_of_wire, is_null

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_NO_ITEMS = np.empty(0, np.uint64)
_WHERE = "where"


class Counted(NamedTuple):
    """Rows of a batch as a group folds them in, n each; of one that does not count only `folds` is read."""

    time_ms: Ints
    value: Ints
    item: NDArray[np.uint64]
    folds: Bools


class SourceRows(NamedTuple):
    """Rows of one source, by its number; `at` is where each stands in its batch, None where they are all."""

    kind: int
    rows: Columns
    at: NDArray[np.intp] | None = None


class ValueOf(NamedTuple):
    """What a group folds: a column, the truth of a condition, an item's hash, or nothing but the row.

    `item` names the columns, joined by "+", by which the group tells items apart.
    """

    column: str = ""
    condition: Tree | None = None
    hashed: str = ""
    item: str = ""


class RowReader:
    """Reads the rows of one view for its groups.

    >>> from features.aggregations import Sum
    >>> from features.definition import Feature, Window
    >>> from features.expressions import col, integer
    >>> total = Feature(name="total", aggregation=Sum(), window=Window.of(hours=1), measure="size")
    >>> types = (("size", integer(nullable=True)),)
    >>> view = View(name="v", rows=1, time="at", features=(total,), types=types, where=(col("size") > 5).tree)
    >>> reader = RowReader(view, [ValueOf("size")])
    >>> rows = SourceRows(1, {"at": np.array([7, 7]), "size": np.array([9, 3])})
    >>> [counted] = reader.counted([rows], count=2)
    >>> counted.value, counted.folds
    (array([9, 3]), array([ True, False]))
    """

    def __init__(self, view: View, groups: Sequence[ValueOf]) -> None:
        self._view = view
        self._types = dict(view.types)
        self._groups = [_Columns.of(each, self._types) for each in groups]
        trees = {str(i): of.condition for i, of in enumerate(groups) if of.condition is not None}
        if view.where is not None:
            trees[_WHERE] = view.where
        self._program = Program(trees, self._types, truth_only=True) if trees else None

    def counted(self, parts: Sequence[SourceRows], count: int) -> list[Counted]:
        """Return what each group folds of a batch of `count` rows."""
        own = [part for part in parts if part.kind == self._view.rows]
        if len(own) == len(parts) == 1:
            return self._of_source(own[0].rows, count)
        none = np.zeros(count, np.int64)
        noise = Counted(none, none, none.view(np.uint64), np.zeros(count, np.bool_))
        found = [noise] * len(self._groups)
        for part in own:
            several = zip(found, self._of_source(part.rows, length(part.rows)), strict=True)
            found = [_put(into, part.at, some) for into, some in several]
        return found

    def _of_source(self, rows: Columns, count: int) -> list[Counted]:
        """Return what each group folds of `count` rows of the view's own source."""
        truths = self._truths(rows) if self._program is not None else {}
        time_ms, where = np.ascontiguousarray(rows[self._view.time]), truths.get(_WHERE)
        folds = np.ones(count, np.bool_) if where is None else where
        return [
            self._of_group(rows, of, Counted(time_ms, time_ms, _NO_ITEMS, folds), truths.get(str(i)))
            for i, of in enumerate(self._groups)
        ]

    def _truths(self, rows: Columns) -> dict[str, Bools]:
        """Return where the filter and each condition hold, (n,) each."""
        assert self._program is not None
        given = columns_of_wire(rows, self._types, self._program.inputs)
        given.setdefault(self._view.time, rows[self._view.time])  # one column at least says how many
        found = self._program.evaluate(given)
        return {name: np.ascontiguousarray(one.values) for name, one in found.items()}

    def _of_group(self, rows: Columns, of: "_Columns", every: Counted, condition: Bools | None) -> Counted:
        """Return every row of the view as one group folds it; without an item, none is read."""
        folds, count = every.folds, len(every.folds)
        for name in of.nullable:
            folds = folds & ~is_null(rows[name])
        item = joined_hash(*(self._column(rows, name) for name in of.item)) if of.item else _NO_ITEMS
        if of.measure:
            value = np.ascontiguousarray(rows[of.measure], np.int64)
        elif condition is not None:
            value = condition.astype(np.int64)
        elif of.is_hashed:
            value = item.view(np.int64)
        else:
            value = np.zeros(count, np.int64)
        return Counted(every.time_ms, value, item if len(item) else np.zeros(count, np.uint64), folds)

    def _column(self, rows: Columns, name: str) -> NDArray[Any]:
        """Return an item's column; a key that is a whole number may come as its digits."""
        column, kind = rows[name], self._types.get(name)
        as_digits = kind is not None and kind.exact and column.dtype.kind == "S"
        return column.astype(np.int64) if as_digits else column


def _put(into: Counted, at: NDArray[np.intp] | None, rows: Counted) -> Counted:
    """Return a batch with rows put where they stand in it."""
    made = Counted(into.time_ms.copy(), into.value.copy(), into.item.copy(), into.folds.copy())
    for column, some in zip(made, rows, strict=True):
        column[at] = some
    return made


class _Columns(NamedTuple):
    """The columns that a group reads, and which of them may be null."""

    measure: str
    item: tuple[str, ...]
    is_hashed: bool
    nullable: tuple[str, ...]

    @classmethod
    def of(cls, value: ValueOf, types: Schema) -> "_Columns":
        item = tuple((value.hashed or value.item).split("+")) if value.hashed or value.item else ()
        nullable = tuple(name for name in (value.column, *item) if name in types and types[name].nullable)
        return cls(value.column, item, bool(value.hashed), nullable)
