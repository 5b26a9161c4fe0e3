"""The algebra of an aggregation: prepare, update, merge, finalise.

A state is a tuple of integers (counts, minor units, hashes, milliseconds), so that any order of updates
and any way of splitting the rows gives the same bits; only `finalise` makes a float, by one written
formula. The classes here are the definition in plain Python; the compiled kernel (`features.kernel`)
keeps the same integers as words of a tile and calls the same formulas.
"""

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import ClassVar, Literal

State = tuple[int, ...]
NULL = float("nan")

Kept = Literal["sawtooth", "delayed", "lifetime", "session", "last"]
WINDOWS: frozenset[Kept | None] = frozenset({"sawtooth", "delayed", "lifetime", "session", "last"})
TILES: frozenset[Kept | None] = frozenset({"sawtooth", "delayed", "lifetime"})
NO_WINDOW: frozenset[Kept | None] = frozenset({None})


class Op(IntEnum):
    """The kernel's number of each aggregation; stored state does not depend on it."""

    COUNT = 0
    SUM = 1
    MEAN = 2
    STD = 3
    MIN = 4
    MAX = 5
    LAST = 6
    SINCE_LAST = 7
    DISTINCT = 8
    FIRST = 9
    SINCE_FIRST = 10
    LAST_K = 11
    QUANTILE = 12
    TOP_SHARE = 13
    DECAYED_SUM = 14
    SAME_AS_LAST = 15
    FIRST_SEEN = 16


class Aggregation(ABC):
    """One way to fold the values of a window.

    `in_tiles` says that the tiles of a sawtooth window keep it. `kept_over` names the kinds of window it can
    be kept over, None for no window at all; `replaces` says whether a row's value can be taken back;
    `of_item` that it is of an item, not of a measure, `of_rows` that it is of neither; `of_before` that it
    compares a row with those before it. `width` is the number
    of columns it makes, 0 for one of the feature's own name; `reach_ms` how long a row may count that no
    window bounds.
    """

    op: ClassVar[Op]
    in_tiles: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    kept_over: ClassVar[frozenset[Kept | None]] = WINDOWS
    replaces: ClassVar[bool] = False
    of_item: ClassVar[bool] = False
    of_rows: ClassVar[bool] = False
    of_before: ClassVar[bool] = False
    width: int = 0
    reach_ms: int = 0

    @property
    def name(self) -> str:
        """The word for it in feature names and docs."""
        return self.op.name.lower()

    @abstractmethod
    def prepare(self, value: int) -> State:
        """Return the state of a window that holds one row."""

    @abstractmethod
    def merge(self, left: State, right: State) -> State:
        """Return the state of both windows together; associative and commutative."""

    @abstractmethod
    def finalise(self, state: State | None) -> float:
        """Return the feature's value; `state` is None for an empty window."""

    def update(self, state: State | None, value: int) -> State:
        """Return the state after one more row."""
        row = self.prepare(value)
        return row if state is None else self.merge(state, row)
