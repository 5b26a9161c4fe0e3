"""Batches of rows through trees, by NumPy: one pass over the steps of all trees, common parts once.

Null follows SQL's logic of three values. Where a value is null a mask says so, but for float64: there NaN is
null and null is NaN, so that a float needs no mask and no NaN is ever anything else. A truth value is False
where it is null: what is True is what holds.

Everything is either exact, or one IEEE operation of float64 after another, which every processor rounds
alike; `log1p`, which NumPy computes differently from one processor to the next, goes through the C library's
scalar function. Division by zero is null, and so is what IEEE has no number for.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.expressions.infer import typed
from features.expressions.numbers import Typed
from features.expressions.steps import Slot, Step, step_of
from features.expressions.tree import ColumnRef, Compare, Logic, Tree
from features.expressions.types import Schema, Type

Floats = NDArray[np.float64]


class Nullable(NamedTuple):
    """Values, (n,), and where they are null, (n,) or None where none is; a float's nulls are its NaNs."""

    values: Any
    null: Any = None


Given = NDArray[Any] | Nullable
_NOTHING: Slot = (None, None)


class Program:
    """Trees by name, checked against a schema and ready for batches.

    Args:
        trees: what to compute, by name.
        schema: the types of the columns that are there; those that no tree reads need not be given.
        truth_only: the trees are conditions of which only what is true is asked; their nulls are not told
            from what is false, which saves the masks.

    Raises:
        ConfigError: as `infer`.

    >>> from features.expressions import number, parse
    >>> program = Program({"share": parse("bad / all_rows")}, {"bad": number(), "all_rows": number()})
    >>> program.evaluate({"bad": np.array([1.0, 1.0]), "all_rows": np.array([4.0, 0.0])})["share"].values
    array([0.25,  nan])
    """

    def __init__(self, trees: Mapping[str, Tree], schema: Schema, *, truth_only: bool = False) -> None:
        compiler = _Compiler()
        whole = {name: typed(tree, schema) for name, tree in trees.items()}
        self.types: Mapping[str, Type] = {name: tree.type for name, tree in whole.items()}
        self._outputs = [(name, compiler.slot(tree, masked=not truth_only)) for name, tree in whole.items()]
        self._columns = [(name, at, kind) for name, (at, kind) in compiler.columns.items()]
        self._start, self._steps = compiler.constants, compiler.scheduled({at for _, at in self._outputs})

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that are read, sorted."""
        return tuple(sorted(name for name, _, _ in self._columns))

    def evaluate(self, columns: Mapping[str, Given]) -> dict[str, Nullable]:
        """Return each tree's values over n rows, in the order in which the trees were given.

        Args:
            columns: (n,) each: int64 for whole numbers, decimals (in their smallest units) and times (epoch
                ms), float64 with NaN for null, bool, and bytes of UTF-8 for texts; with nulls a `Nullable`.
                More columns than are read may be there, and at least one must be.

        Raises:
            KeyError: a column that is read is not there.
        """
        slots, count = self._run(columns), _length(columns)
        return {name: _whole(slots[at], count) for name, at in self._outputs}

    def floats(self, columns: Mapping[str, Given]) -> dict[str, Floats]:
        """Return each tree's values over n rows as float64, null as NaN: numbers and truth values alone.

        Arguments and errors are those of `evaluate`; decimals come in their smallest units.

        >>> from features.expressions import parse, time
        >>> program = Program({"is_late": parse("hour(at) >= 22")}, {"at": time()})
        >>> program.floats({"at": np.array([0, 23 * 3_600_000])})["is_late"].tolist()
        [0.0, 1.0]
        """
        slots = self._run(columns)
        return {name: _as_floats(slots[at], columns) for name, at in self._outputs}

    def _run(self, columns: Mapping[str, Given]) -> list[Slot]:
        """Return what is left of the slots after all steps: the outputs."""
        slots = self._start.copy()
        for name, at, kind in self._columns:
            column = columns[name]
            slots[at] = (column, None) if type(column) is np.ndarray else _given(column, kind)
        with np.errstate(all="ignore"):
            for at, step, over in self._steps:
                slots[at] = step(slots)
                for done in over:
                    slots[done] = _NOTHING  # its memory is warm for the next result
        return slots


def _length(columns: Mapping[str, Given]) -> int:
    first = next(iter(columns.values()))
    return len(first.values if isinstance(first, Nullable) else first)


def _as_floats(found: Slot, columns: Mapping[str, Given]) -> Floats:
    values, null = found
    if type(values) is not np.ndarray or null is not None or not values.shape:
        values, null = _whole(found, _length(columns))
    floats = values if values.dtype == np.float64 else values.astype(np.float64)
    return floats if null is None else np.where(null, np.nan, floats)


class _Compiler:
    """Numbers the results; equal parts get one number, and what reads no column is computed at once.

    `constants` has a place for every result, filled where it is known already; `steps` makes the others but
    for the columns.
    """

    def __init__(self) -> None:
        self.steps: list[Step | None] = []
        self.inputs: list[tuple[int, ...]] = []
        self.constants: list[Slot] = []
        self.columns: dict[str, tuple[int, str]] = {}
        self._known: dict[tuple[Tree, Type, bool], int] = {}
        self._fixed: set[int] = set()

    def slot(self, of: Typed, masked: bool = True) -> int:
        """Return the number under which a result will be found.

        Args:
            masked: its nulls are asked for; of a comparison that is not, only what is true is.
        """
        masked = masked or not isinstance(of.node, Compare | Logic)
        key = (of.node, of.type, masked)
        if key not in self._known:
            self._known[key] = self._new(of, masked)
        return self._known[key]

    def scheduled(self, kept: set[int]) -> list[tuple[int, Step, tuple[int, ...]]]:
        """Return the steps in order, each with the results that nothing needs after it."""
        last = {used: at for at, inputs in enumerate(self.inputs) for used in inputs}
        over: dict[int, list[int]] = {}
        for used, at in last.items():
            if used not in kept and self.steps[used] is not None:
                over.setdefault(at, []).append(used)
        return [(at, step, tuple(over.get(at, ()))) for at, step in enumerate(self.steps) if step is not None]

    def _new(self, of: Typed, masked: bool) -> int:
        column = isinstance(of.node, ColumnRef) and not of.parts
        inner = masked or not isinstance(of.node, Logic)
        slots = tuple(self.slot(part, inner) for part in of.parts)
        step = None if column else step_of(of, slots, masked)
        at, constant = len(self.steps), _NOTHING
        if step is None:
            assert isinstance(of.node, ColumnRef)
            self.columns[of.node.name] = (at, of.type.kind)
        elif self._fixed.issuperset(slots):
            with np.errstate(all="ignore"):
                constant = step(self.constants)
            step = None
            self._fixed.add(at)
        self.steps.append(step)
        self.inputs.append(slots)
        self.constants.append(constant)
        return at


def _given(column: Given, kind: str) -> Slot:
    """Return a column as the steps want it: a float's nulls as NaN, a null truth value as False."""
    values, null = column if isinstance(column, Nullable) else (column, None)
    if null is None:
        return values, None
    if kind == "float":
        return np.where(null, np.nan, values), None
    return (values & ~null if kind == "bool" else values), null


def _whole(found: Slot, count: int) -> Nullable:
    """Return n values and their nulls, also where the tree was a literal."""
    values, null = found
    if null is None and type(values) is np.ndarray and len(values.shape):
        return Nullable(values)
    values = np.asarray(values)
    if values.shape != (count,):
        values = np.broadcast_to(values, count)
    if null is not None and np.shape(null) != (count,):
        null = np.broadcast_to(null, count)
    return Nullable(values, null)
