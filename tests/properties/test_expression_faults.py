"""Every operator, over every kind of value: a fault in its nulls, its values or at its ends is found.

A fault is planted in one step at a time, in the rows of one aspect alone: those with a null among the
operands, those without (by the last bit), and those at the ends, where a number overflows, is none or is
beyond what a double holds. The oracle must tell the result apart on some row of the corpus.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from features.expressions import evaluate, steps
from features.expressions.numbers import Typed
from features.expressions.steps import Slot, Step
from features.expressions.tree import (
    ARITHMETIC,
    COMPARISONS,
    Arithmetic,
    Call,
    ColumnRef,
    Compare,
    In,
    IsNull,
    Literal,
    Logic,
    Unary,
)
from tests.expression_cases import Case, by_the_engine, by_the_oracle, compiled, each_operator

Target = tuple[str, tuple[str, ...], str]  # what a step does, the kinds of its operands, the aspect
NULLS, VALUES, ENDS = "nulls", "values", "ends"
BEYOND = 2.0**53
STEP_OF = steps.step_of


def word_of(of: Typed) -> str:
    """Return what a step does; empty for a literal or a column."""
    if of.is_converted:
        return f"to {of.type.kind}"
    match of.node:
        case Arithmetic() | Compare() | Logic() | Unary():
            return of.node.sign
        case Call():
            return of.node.name
        case In():
            return "in"
        case IsNull():
            return "is null"
        case Literal() | ColumnRef():
            return ""
    raise AssertionError(of.node)


def rows_of_aspect(aspect: str, found: Slot, operands: Sequence[Slot]) -> Any:
    """Return in which rows a fault of the aspect would be."""
    shape = np.broadcast_shapes(*(np.shape(values) for values, _ in (found, *operands)))
    masks = [np.broadcast_to(mask, shape) for one in operands if (mask := steps._null(one)) is not None]
    null = np.any(masks, axis=0) if masks else np.zeros(shape, bool)
    if aspect == NULLS:
        return null
    numbers = [np.asarray(values) for values, _ in (found, *operands)]
    ends = [
        np.broadcast_to(~(np.abs(one.astype(np.float64)) < BEYOND), shape)
        for one in numbers if one.dtype.kind in "if"
    ]  # fmt: skip
    end = np.any(ends, axis=0) if ends else np.zeros(shape, bool)
    return (end if aspect == ENDS else ~end) & ~null


def spoiled(aspect: str, found: Slot, where: Any) -> Slot:
    """Return a result that is another one in some rows."""
    values, null = np.asarray(found[0]), found[1]
    if aspect == NULLS and null is not None and values.dtype.kind != "f":
        other = values | where if values.dtype.kind == "b" else values
        return other, null & ~where
    match values.dtype.kind:
        case "b":
            return np.where(where, ~values, values), null
        case "f":
            there = np.where(np.isfinite(values), np.nextafter(values, np.inf), 0.0)
            return np.where(where, there, values), null
        case "S":
            return np.where(where, b"?", values), null
    return np.where(where, values + 1, values), null


def watched(seen: Callable[[Target], None]) -> Callable[..., Step]:
    """Return a `step_of` that tells of every step and aspect that has a row."""

    def step_of(of: Typed, slots: tuple[int, ...], masked: bool) -> Step:
        step, word, kinds = STEP_OF(of, slots, masked), word_of(of), tuple(p.type.kind for p in of.parts)

        def run(known: Sequence[Slot]) -> Slot:
            found, operands = step(known), [known[at] for at in slots]
            for aspect in (NULLS, VALUES, ENDS):
                if word and np.any(rows_of_aspect(aspect, found, operands)):
                    seen((word, kinds, aspect))
            return found

        return run

    return step_of


def faulty(target: Target) -> Callable[..., Step]:
    """Return a `step_of` with a fault in one kind of step."""
    word, kinds, aspect = target

    def step_of(of: Typed, slots: tuple[int, ...], masked: bool) -> Step:
        step = STEP_OF(of, slots, masked)
        if (word_of(of), tuple(part.type.kind for part in of.parts)) != (word, kinds):
            return step

        def run(known: Sequence[Slot]) -> Slot:
            found = step(known)
            return spoiled(aspect, found, rows_of_aspect(aspect, found, [known[at] for at in slots]))

        return run

    return step_of


@pytest.fixture(scope="module")
def corpus() -> list[tuple[Case, list[Any]]]:
    """Every operator over every kind of value, and what the oracle says of each."""
    return [(case, by_the_oracle(case)) for case in each_operator() if compiled(case) is not None]


@pytest.fixture(scope="module")
def targets(corpus: list[tuple[Case, list[Any]]]) -> dict[Target, list[int]]:
    """In which cases of the corpus each step and aspect has a row."""
    found: dict[Target, list[int]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for at, (case, _) in enumerate(corpus):
            patch.setattr(evaluate, "step_of", watched(partial(_note, found, at)))
            by_the_engine(case)
    return found


def test_a_fault_in_any_operator_over_any_kinds_is_found(
    corpus: list[tuple[Case, list[Any]]], targets: dict[Target, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = []
    for target, cases in targets.items():
        monkeypatch.setattr(evaluate, "step_of", faulty(target))
        if not any(_differs(*corpus[at]) for at in dict.fromkeys(cases)):
            missed.append(target)
    assert missed == []


def test_every_operator_has_faults_over_every_kind_it_takes(targets: dict[Target, list[int]]) -> None:
    of_numbers = {(word, aspect) for word, _, aspect in targets}
    numbers = (*ARITHMETIC, "min", "max", "coalesce", "abs")
    both = {(word, aspect) for word in numbers for aspect in (NULLS, VALUES, ENDS)}
    others = (*COMPARISONS, "in", "is null", "and", "or", "not", "hour", "weekday", "log1p")
    both |= {(word, aspect) for word in others for aspect in (NULLS, VALUES)}
    assert both - of_numbers == set()
    kinds = {word: {kind for each, kinds, _ in targets if each == word for kind in kinds} for word, _ in both}
    for word in (*COMPARISONS, "is null", "in"):
        assert kinds[word] >= {"int", "decimal", "float"}, word
    for word in ("==", "!="):
        assert kinds[word] >= {"text", "bool", "time"}, word
    assert len(targets) > 150


def _note(found: dict[Target, list[int]], at: int, target: Target) -> None:
    found.setdefault(target, []).append(at)


def _differs(case: Case, due: list[Any]) -> bool:
    try:
        return by_the_engine(case) != due
    except AssertionError:  # what is true depends on who asks: that is told apart as well
        return True
