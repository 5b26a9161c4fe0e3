"""What a part of a view's state is: one way to keep rows, for the features that need it.

A view whose features all read sawtooth tiles has one state, `features.view_state.ViewState`. Other features
are kept by further parts beside it (`features.view_parts`), each with its own arrays by slot and compiled
fold:

| part | keeps | for |
|---|---|---|
| `span_part` | summaries of tiles | delayed and lifetime windows; first |
| `recent_part` | the newest rows | last-k, last-N windows, same as last; last beside other parts |
| `session_part` | summaries of the newest sessions | session windows |
| `sketch_part` | counts of (tile, bucket or item) | quantile, top-k share |
| `decayed_part` | one number | decayed sum |
| `seen_part` | when items were seen last | first seen |

A part has no clock: the view tells it the moment each row is judged at. Rows with `folds` unset are questions
and change nothing, so the same code answers `at`.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled_part
from features.definition import Feature
from features.packed_words import PackedRuns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Batch(NamedTuple):
    """Rows in log order, n of each."""

    slot: Ints
    at_ms: Ints  # the moment the row is judged at: the key's newest event time, the row's included
    time_ms: Ints
    value: Ints
    item: NDArray[np.uint64]
    folds: Bools  # the row is of the view's kind, and counts

    def part(self, some: slice) -> "Batch":
        """Return some of the rows, sharing their memory."""
        return Batch(
            self.slot[some], self.at_ms[some], self.time_ms[some], self.value[some], self.item[some],
            self.folds[some],
        )  # fmt: skip


class Told(NamedTuple):
    """What a part writes."""

    values: Floats  # (n, columns of the part)
    late: Bools  # (n,) a row that folds but changed nothing, being too old


class Part(Protocol):
    """One part of a view's state; slots are handed out by the entity."""

    features: tuple[Feature, ...]  # in the order of its columns

    @property
    def form(self) -> PackedRuns:
        """How its packed words are laid out: what does not fit this is not unpacked."""

    @property
    def nbytes(self) -> int:
        """Bytes in use."""

    def apply(self, batch: Batch, told: Told) -> None:
        """Fold the rows in and write each one's answers."""

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Lower `out` to the first moment after `at_ms` at which an answer may change without a row.

        What changes every millisecond (a time since, a fading sum) counts when it becomes null or 0.
        """

    def packed_words(self, slots: Ints) -> Ints:
        """Return how many words `pack` writes for each slot."""

    def pack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Write each slot's state at its offset."""

    def unpack(self, slots: Ints, data: Ints, offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it."""

    def drop(self, slots: Ints) -> None:
        """Forget the slots' state and give its memory back."""

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""


class Columns(NamedTuple):
    """The features of a part as its compiled fold reads them, one entry a column."""

    op: Ints
    window: Ints  # index into the part's windows, or the part's own meaning
    param: Ints
    current: Bools


def columns_of(features: Sequence[Feature], window: Sequence[int], param: Sequence[int]) -> Columns:
    """Return features as arrays; one with k columns gives k entries."""
    widths = [len(f.columns) for f in features]
    return Columns(
        np.repeat(np.array([int(f.aggregation.op) for f in features], np.int64), widths),
        np.repeat(np.array(window, np.int64), widths),
        np.array(param, np.int64),
        np.repeat(np.array([f.current for f in features], np.bool_), widths),
    )


@compiled_part()
def advance(clock: Ints, slots: Ints, clock_ms: Ints, at_ms: Ints) -> None:
    """Move each slot's clock to the newest time so far, and write the moment each row is judged at."""
    for r in range(len(slots)):
        clock[slots[r]] = max(clock[slots[r]], clock_ms[r])
        at_ms[r] = clock[slots[r]]
