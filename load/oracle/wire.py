"""What a row says of a view: whether it passes the filter, and its measures, conditions and items, or null.

Rows come as they are on the wire: a text that is null is empty, any other null is the smallest 64-bit number;
truth values are 0 and 1, a decimal is the whole number of its smallest units.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from load.oracle.expressions import Reading

NULL = -(2**63)


class RowFacts:
    """Reads rows for one view, by the types that its declaration names; others are never null."""

    def __init__(self, view: Any) -> None:
        self._types = dict(view.types)
        self._kinds = {name: kind.kind for name, kind in self._types.items()}
        self._where = None if view.where is None else Reading(view.where, self._kinds)
        texts = {f.condition for f in view.features if f.condition is not None}
        self._conditions = {text: Reading(text, self._kinds) for text in texts}

    def passes(self, row: Mapping[str, Any]) -> bool:
        """Whether the filter holds: what is null does not."""
        return self._where is None or self._where.of(self._read(row)).value is True

    def value(self, what: tuple[str, str], row: Mapping[str, Any]) -> Any:
        """What a row counts for: 0, a measure's number, a condition's truth or an item; None for null."""
        kind, name = what
        if kind == "rows":
            return 0
        if kind == "condition":
            return int(self._conditions[name].of(self._read(row)).value is True)
        if kind == "item":
            return self.item(name, row)
        value = self._known(name, row)
        return None if value is None else int(value)

    def unit(self, what: tuple[str, str]) -> int:
        """By what a value of it is divided as it is served: 10 to a decimal's scale, else 1."""
        kind = self._types.get(what[1]) if what[0] == "measure" else None
        return 10**kind.scale if kind is not None else 1

    def item(self, names: str, row: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The values by which a row's item is told apart; None where one is null."""
        found = tuple(self._known(name, row) for name in names.split("+"))
        return None if None in found else found

    def _known(self, name: str, row: Mapping[str, Any]) -> Any:
        value = row[name]
        nullable = name in self._types and self._types[name].nullable
        return None if nullable and value in (b"", NULL) else value

    def _read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row's columns as values of their kinds."""
        return {name: self._as_kind(name, self._known(name, row)) for name in self._types if name in row}

    def _as_kind(self, name: str, value: Any) -> Any:
        kind = self._types[name]
        if value is None:
            return None
        if kind.kind == "text":
            return value.decode()
        if kind.kind == "bool":
            return value == 1
        return Fraction(value, 10**kind.scale) if kind.kind == "decimal" else value
