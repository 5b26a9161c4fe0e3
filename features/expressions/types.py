"""What a column or an expression holds: its kind, whether it may be null, and between which bounds.

Whole numbers and decimals are exact, in 64 bits; a decimal is the whole number of its smallest units
(`scale` digits behind the point). Bounds are of those whole numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from features.expressions.tree import INT64_MAX, INT64_MIN

Kind = Literal["int", "decimal", "float", "bool", "text", "time"]
FLOAT_EXACT = 2**53  # up to here every whole number is a float64
SCALE_MAX = 18
TIME_MIN_MS, TIME_MAX_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999
WORDS: Mapping[Kind, str] = {
    "int": "a whole number", "decimal": "a decimal", "float": "a number", "bool": "a truth value",
    "text": "a text", "time": "a time",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """One type; `low` and `high` are of whole numbers, decimals and times, `members` of a category."""

    kind: Kind
    nullable: bool = False
    low: int = INT64_MIN
    high: int = INT64_MAX
    scale: int = 0
    members: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it is kept as whole numbers of 64 bits."""
        return self.kind in ("int", "decimal", "time")

    @property
    def numeric(self) -> bool:
        """Whether it may be added and multiplied."""
        return self.kind in ("int", "decimal", "float")

    @property
    def words(self) -> str:
        """What people call it."""
        return WORDS[self.kind]

    def or_null(self, nullable: bool = True) -> "Type":
        """Return the same type, null or never null."""
        return replace(self, nullable=nullable)


Schema = Mapping[str, Type]


def integer(low: int = INT64_MIN, high: int = INT64_MAX, *, nullable: bool = False) -> Type:
    """Return the type of whole numbers within bounds; without bounds they may be compared, not added."""
    return Type(kind="int", low=low, high=high, nullable=nullable)


def decimal(scale: int, low: int = INT64_MIN, high: int = INT64_MAX, *, nullable: bool = False) -> Type:
    """Return the type of decimals, kept as whole numbers of 10 ** -scale; so are the bounds."""
    return Type(kind="decimal", scale=scale, low=low, high=high, nullable=nullable)


def number(*, nullable: bool = True) -> Type:
    """Return the type of float64."""
    return Type(kind="float", nullable=nullable)


def boolean(*, nullable: bool = False) -> Type:
    """Return the type of truth values."""
    return Type(kind="bool", nullable=nullable)


def text_type(*members: str, nullable: bool = False) -> Type:
    """Return the type of texts, or of a category that has these values alone."""
    return Type(kind="text", members=members, nullable=nullable)


def time(low: int = TIME_MIN_MS, high: int = TIME_MAX_MS, *, nullable: bool = False) -> Type:
    """Return the type of event times in epoch ms."""
    return Type(kind="time", low=low, high=high, nullable=nullable)
