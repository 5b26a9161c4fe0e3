"""A column of a given file: all values of one place in its rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from headrace.given.rows import Row

COLUMNS_MAX = 150
DEPTH_MAX = 6


class GivenColumn:
    """The values of one place, row by row; None where a row has none.

    >>> column = GivenColumn(("fare",), ["2", None, "2"])
    >>> column.present, column.distinct, column.missing
    (['2', '2'], Counter({'2': 2}), 1)
    """

    def __init__(self, place: tuple[str, ...], values: list[Any]) -> None:
        self.place, self.values = place, values
        self.known: dict[str, Any] = {}  # what was found out of it, by who looked

    @property
    def name(self) -> str:
        """What the file calls it."""
        return self.place[-1]

    @cached_property
    def present(self) -> list[Any]:
        """The values that are there."""
        return [value for value in self.values if value is not None]

    @cached_property
    def distinct(self) -> "Counter[Any]":
        """How often each value stands there; true is not 1, and "1" is not 1."""
        return Counter(Same(value) if isinstance(value, bool) else value for value in self.present)

    @property
    def missing(self) -> int:
        """How many rows have no value."""
        return len(self.values) - len(self.present)

    @cached_property
    def types(self) -> frozenset[type]:
        """The Python types of its values."""
        return frozenset(map(type, self.present))


class Same:
    """A truth value that no number equals."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return hash((Same, self.value))

    def __str__(self) -> str:
        return str(self.value).lower()

    __repr__ = __str__


def columns_of(rows: Sequence[Row]) -> tuple[list[GivenColumn], list[str]]:
    """Return the columns of rows in the order in which they come up, and what was left out, in words.

    Objects are opened; lists, and what is an object in one row and a value in another, are left out.

    >>> found, left_out = columns_of([{"a": {"b": 1}, "c": [1]}, {"a": None}])
    >>> [(column.place, column.values) for column in found], left_out
    ([(('a', 'b'), [1, None])], ['c: a list'])
    """
    values: dict[tuple[str, ...], list[Any]] = {}
    lists: dict[tuple[str, ...], None] = {}
    for number, row in enumerate(rows):
        for place, value in _leaves(row, ()):
            if isinstance(value, list):
                lists[place] = None
                continue
            column = values.setdefault(place, [])
            column.extend([None] * (number - len(column)))
            column.append(value)
    holders = {place[:depth] for place in values for depth in range(1, len(place))}
    left_out = [f"{'.'.join(place)}: a list" for place in lists]
    found: list[GivenColumn] = []
    for place, column in values.items():
        column.extend([None] * (len(rows) - len(column)))
        said = ".".join(place)
        if place in lists:
            continue
        if place in holders:
            if any(value is not None for value in column):
                left_out.append(f"{said}: an object in some rows, a value in others")
        elif not any(value is not None for value in column):
            left_out.append(f"{said}: no row has a value")
        elif len(found) == COLUMNS_MAX:
            left_out.append(f"{said}: beyond {COLUMNS_MAX} fields")
        else:
            found.append(GivenColumn(place, column))
    return found, left_out


def _leaves(row: Row, way: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in row.items():
        if isinstance(value, dict) and value and len(way) < DEPTH_MAX:
            yield from _leaves(value, (*way, name))
        elif not isinstance(value, dict):
            yield (*way, name), value
