"""What is guessed of a column: its type as a contract says it, its part in the project, how sure that is."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from contracts.contract_version import TimeFormat
from headrace.given.given import moment

Role = Literal["id", "time", "key", "measure", "category", "value", "label"]
Type = Literal["string", "integer", "decimal", "number", "boolean", "time"]


@dataclass(kw_only=True)
class ColumnKind:
    """How a contract says a column's values.

    Args:
        sure: 0 to 1, how likely the guess is right.
        why: what of the values says so.
        change: what to write where it is wrong.
        convert: how its values become those of the contract, in words of `headrace.given.convert`; empty
            where they are already.
        options: of the contract's `logicalTypeOptions`.
        low, high: the least and greatest value seen, of numbers and times.
    """

    type: Type
    sure: float
    why: str
    change: str = ""
    convert: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    enum: tuple[str, ...] = ()
    digits: int = 0
    scale: int = 0
    quoted: bool = False
    time_format: TimeFormat = ""
    zone: str = ""
    low: float = 0
    high: float = 0
    has_clock: bool = True  # of a time: not days alone


@dataclass(kw_only=True)
class Guess:
    """One field of a contract: a column, what its values are, and what it is to the project."""

    name: str
    place: tuple[str, ...]
    kind: ColumnKind
    values: list[Any]  # as the contract has them
    missing: int
    role: Role = "value"
    personal: bool = False
    sure: float = 0.0
    why: str = ""
    change: str = ""

    @property
    def required(self) -> bool:
        """Whether every row has it, or a contract asks for it."""
        return self.missing == 0 or self.role in ("id", "time")

    @cached_property
    def distinct(self) -> int:
        """How many different values there are."""
        return len({value for value in self.values if value is not None})

    @cached_property
    def moment_ms(self) -> list[int]:
        """The values as times, epoch ms, row by row; 0 for what is none."""
        return [moment(value, self.kind.time_format, self.kind.zone) for value in self.values]

    @property
    def moments_ms(self) -> list[int]:
        """The times that there are, epoch ms."""
        return [each for each in self.moment_ms if each]

    @property
    def mark(self) -> str:
        """What stands as a comment beside the field.

        >>> kind = ColumnKind(type="string", sure=0.9, why="3 different texts")
        >>> Guess(name="a", place=("a",), kind=kind, values=[], missing=0, sure=0.5, why="is told apart").mark
        'guess 0.5: is told apart'
        """
        change = f"; {self.change}" if self.change else ""
        return f"guess {self.sure:.1f}: {self.why}{change}"
