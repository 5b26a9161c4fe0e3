"""Expressions: the engine and the oracle agree bit for bit, and a fault in either would be seen."""

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from features.expressions import content_hash, parse, text
from features.expressions import steps as engine
from features.expressions.steps import Slot
from load.oracle.expression_text import read
from tests.expression_cases import Case, by_the_engine, by_the_oracle, cases, compiled, each_operator, trees


class Asked(NamedTuple):
    """A case that has a type, and what the oracle says of it."""

    case: Case
    due: list[Any]


@pytest.fixture(scope="module")
def corpus() -> list[Asked]:
    """Return every operator over every kind of value with what is due, made once for all faults."""
    some = [case for case in each_operator() if compiled(case) is not None]
    return [Asked(case, by_the_oracle(case)) for case in some]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_the_engine_and_the_oracle_agree_bit_for_bit(case: Case) -> None:
    due = by_the_oracle(case) if compiled(case) is not None else []
    assert by_the_engine(case) == due, text(case.tree)


def test_they_agree_on_the_corpus_and_it_is_no_small_one(corpus: list[Asked]) -> None:
    assert [text(case.tree) for case, due in corpus if by_the_engine(case) != due] == []
    assert len(corpus) > 1000


@settings(max_examples=150, deadline=None)
@given(trees())
def test_a_text_reads_back_as_the_same_tree_with_the_same_hash(tree: Any) -> None:
    again = parse(text(tree))
    assert again == tree
    assert hash(again) == hash(tree)
    assert (text(again), content_hash(again)) == (text(tree), content_hash(tree))
    read(text(tree))


def _naive_ratio(above: Any, below: Any) -> Any:
    return above / below


def _null_wins(a: Slot, b: Slot) -> Slot:
    return a[0] & b[0], engine._either((a[1], b[1]))


def _null_loses(a: Slot, b: Slot) -> Slot:
    return a[0] | b[0], engine._either((a[1], b[1]))


def _last_of_equals(of: Any, slots: Any) -> Any:
    before = operator.lt if of.node.name == "min" else operator.gt

    def pick(a: Slot, b: Slot) -> Slot:
        values = np.where(before(a[0], b[0]) | np.isnan(a[0]), a[0], b[0])
        return values, engine._either((a[1], b[1]))

    return lambda known: reduce(pick, [known[at] for at in slots])


def _never_null(of: Any, slots: Any) -> Any:
    return lambda known: (np.zeros(np.shape(known[slots[0]][0]), bool), None)


def _null_is_false(of: Any, slots: Any) -> Any:
    return lambda known: (~known[slots[0]][0], known[slots[0]][1])


def _floor_only(sign: str, limit: Any, at: int) -> Any:
    bound = max(engine.INT64_MIN, min(engine.INT64_MAX, math.floor(limit)))
    act = engine._OPERATORS[sign]
    return lambda known: (act(known[at][0], np.int64(bound)), known[at][1])


FAULTS: dict[str, tuple[str, Any]] = {
    "division by zero is infinite": ("_ratio", _naive_ratio),
    "false and null is null": ("_both", _null_wins),
    "true or null is null": ("_any", _null_loses),
    "an hour is too short": ("HOUR_MS", 3_500_000),
    "weeks begin on a Sunday": ("_FIRST_WEEKDAY", 4),
    "limits between whole numbers are rounded down": ("_against", _floor_only),
    "a list of one value less": ("_options", lambda options, kind: _SOUND["_options"](options[1:], kind)),
    "an offset is turned round": ("offset_ms", lambda written: -_SOUND["offset_ms"](written)),
    "logarithms of all there is": ("_logarithms", lambda values: np.log1p(values)),
    "nothing is ever null": ("_null", lambda of: of[1]),
}
CALLS: dict[str, tuple[str, Any, Any]] = {
    "of equals the last": ("_CALLS", "min", _last_of_equals),
    "the greatest is the first": ("_CALLS", "max", lambda of, slots: lambda known: known[slots[0]]),
    "the first of coalesce is enough": (
        "_CALLS",
        "coalesce",
        lambda of, slots: lambda known: known[slots[0]],
    ),
    "a sign is lost": ("_CALLS", "abs", lambda of, slots: lambda known: known[slots[0]]),
    "nothing is null": ("_STEPS", engine.IsNull, _never_null),
    "not null is true": ("_STEPS", engine.Unary, _null_is_false),
    "plus is minus": ("_OPERATORS", "+", operator.sub),
    "minus is plus": ("_OPERATORS", "-", operator.add),
    "times is plus": ("_OPERATORS", "*", operator.add),
    "less is at most": ("_OPERATORS", "<", operator.le),
    "at most is less": ("_OPERATORS", "<=", operator.lt),
    "more is at least": ("_OPERATORS", ">", operator.ge),
    "at least is more": ("_OPERATORS", ">=", operator.gt),
    "equal is unequal": ("_OPERATORS", "==", operator.ne),
    "unequal is equal": ("_OPERATORS", "!=", operator.eq),
}
_SOUND: dict[str, Callable[..., Any]] = {"_options": engine._options, "offset_ms": engine.offset_ms}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_engine_is_found(
    fault: str, corpus: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, wrong = FAULTS[fault]
    monkeypatch.setattr(engine, name, wrong)
    assert any(by_the_engine(case) != due for case, due in corpus)


@pytest.mark.parametrize("fault", CALLS)
def test_a_fault_of_one_operator_is_found(
    fault: str, corpus: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, name, wrong = CALLS[fault]
    monkeypatch.setattr(engine, table, {**getattr(engine, table), name: wrong})
    assert any(by_the_engine(case) != due for case, due in corpus)
