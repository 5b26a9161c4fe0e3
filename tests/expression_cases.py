"""Random expressions and rows, and what the engine's evaluator and the oracle's make of them."""

import struct
from fractions import Fraction
from random import Random
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from contracts.errors import ConfigError
from features.expressions import (
    Nullable,
    Program,
    Tree,
    Type,
    boolean,
    decimal,
    integer,
    number,
    parse,
    text,
    text_type,
)
from features.expressions import time as time_type
from features.expressions.tree import (
    ARITHMETIC,
    COMPARISONS,
    INT64_MAX,
    INT64_MIN,
    Arithmetic,
    Call,
    ColumnRef,
    Compare,
    In,
    IsNull,
    Literal,
    Logic,
    Unary,
    negated,
)
from load.oracle.expressions import Reading

DAY_MS = 86_400_000
SCHEMA: dict[str, Type] = {
    "small": integer(-9, 9, nullable=True), "count": integer(0, 2**40), "huge": integer(nullable=True),
    "price": decimal(2, -99_999, 10**9, nullable=True), "rate": decimal(5, 0, 10**7), "mean": number(),
    "share": number(), "flag": boolean(nullable=True), "sure": boolean(), "country": text_type(nullable=True),
    "channel": text_type("pos", "web", "été"), "at": time_type(nullable=True), "from": time_type(),
}  # fmt: skip
"""Columns of every kind; the name of the last one means something in Python."""

KINDS = {name: kind.kind for name, kind in SCHEMA.items()}
_FLOATS = (0.0, -0.0, 1.0, 0.1, -2.5, 5e-324, 1e308, -1e308, 2.0**53, np.inf, -np.inf, 1e-7)
_TEXTS = ("BE", "FR", "pos", "été", "", "a'\"b", "#")


class Case(NamedTuple):
    """A tree and rows: values by column, None for null."""

    tree: Tree
    rows: list[dict[str, Any]]


def rows_of(seed: int, count: int = 12) -> list[dict[str, Any]]:
    """Return seeded rows, with nulls and with the values at which arithmetic turns."""
    chance = Random(seed)
    return [{name: _value(kind, chance) for name, kind in SCHEMA.items()} for _ in range(count)]


def _value(kind: Type, chance: Random) -> Any:
    if kind.nullable and chance.random() < 0.25:
        return None
    if kind.kind == "float":
        return chance.choice(_FLOATS) if chance.random() < 0.7 else chance.uniform(-10, 10)
    if kind.kind == "bool":
        return chance.random() < 0.5
    if kind.kind == "text":
        return chance.choice(kind.members or _TEXTS)
    if kind.kind == "time" and chance.random() < 0.5:
        return chance.randint(-80, 80) * DAY_MS // 8
    ends = [v for v in (0, 1, -1, 50, kind.low, kind.low + 1, kind.high) if kind.low <= v <= kind.high]
    units = chance.choice(ends) if chance.random() < 0.7 else chance.randint(kind.low, kind.high)
    return Fraction(units, 10**kind.scale) if kind.kind == "decimal" else units


_NUMBERS = (
    st.sampled_from(["small", "count", "huge", "price", "rate", "mean", "share"]).map(ColumnRef)
    | st.sampled_from([0, 1, -1, 7, 2**53, INT64_MAX, INT64_MIN]).map(Literal)
    | st.sampled_from([0.5, -0.0, 0.0, 0.1, 12.25, 1e-7, 1e22, 1e300, 99.99]).map(Literal)
)
_TIMES = st.sampled_from(["at", "from"]).map(ColumnRef)
_FLAGS = st.sampled_from(["flag", "sure"]).map(ColumnRef) | st.booleans().map(Literal)
_WORDS = st.sampled_from(["country", "channel"]).map(ColumnRef) | st.sampled_from(_TEXTS).map(Literal)
_OFFSETS = st.sampled_from([(), (Literal("+01:00"),), (Literal("-11:30"),)])


def _numbers(inner: st.SearchStrategy[Tree], conditions: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return (
        st.builds(Arithmetic, st.sampled_from(ARITHMETIC), inner, inner)
        | inner.filter(lambda tree: tree != Literal(INT64_MIN)).map(negated)
        | st.builds(Call, st.sampled_from(["abs", "log1p"]), st.tuples(inner))
        | st.builds(Call, st.sampled_from(["min", "max", "coalesce"]), several)
        | st.builds(lambda n, t, o: Call(n, (t, *o)), st.sampled_from(["hour", "weekday"]), _TIMES, _OFFSETS)
        | st.builds(lambda a, b: Arithmetic("-", a, b), _TIMES, _TIMES)
    )


def _conditions(numbers: st.SearchStrategy[Tree], inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    signs, alike = st.sampled_from(COMPARISONS), st.sampled_from(["==", "!="])
    literals = st.sampled_from([0, 1, -1, 0.5, 0.1, -0.0, 7, 12.25]).map(Literal)
    options = st.lists(literals, min_size=1, max_size=12).map(tuple)
    words = st.lists(st.sampled_from(["BE", "FR", "pos", "", "a'\"b", "#"]), min_size=1, max_size=3)
    return (
        st.builds(Compare, signs, numbers, numbers)
        | st.builds(Compare, signs, _TIMES, _TIMES | st.sampled_from([0, DAY_MS]).map(Literal))
        | st.builds(Compare, alike, _WORDS, _WORDS)
        | st.builds(Compare, alike, inner, inner)
        | st.builds(Unary, st.just("not"), inner)
        | st.builds(Logic, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(In, numbers, options)
        | st.builds(In, st.just(ColumnRef("country")), words.map(lambda some: tuple(map(Literal, some))))
        | st.builds(IsNull, numbers | inner | _WORDS | _TIMES)
        | st.builds(lambda a, b: Call("coalesce", (a, b)), inner, inner)
    )


_LOW = _numbers(_NUMBERS, _FLAGS) | _NUMBERS
NUMBERS = _numbers(_LOW, _FLAGS) | _LOW
CONDITIONS = _conditions(NUMBERS, _conditions(_LOW, _FLAGS) | _FLAGS)
TREES = st.one_of(NUMBERS, CONDITIONS, st.builds(lambda a, b: Call("coalesce", (a, b)), _WORDS, _WORDS))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a tree and rows."""
    return Case(draw(TREES), rows_of(draw(st.integers(0, 10_000))))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw a tree."""
    return draw(TREES)


def each_operator() -> list[Case]:
    """Return every operator over every kind of value that it takes, nulls among them."""
    numbers = ("small", "count", "huge", "price", "rate", "mean", "share", "0", "1", "-0.0", "0.5", "99.99")
    sides = [(a, b) for a in numbers for b in numbers]
    texts = [f"{a} {sign} {b}" for sign in (*ARITHMETIC, *COMPARISONS) for a, b in sides]
    texts += [f"{name}({a}, {b})" for name in ("min", "max", "coalesce") for a, b in sides]
    texts += [f"{one}{a})" for one in ("abs(", "log1p(", "-(") for a in numbers]
    texts += [f"{a} {sign} {b}" for sign in COMPARISONS for a in ("at", "0") for b in ("at", "col('from')")]
    texts += [
        f"{a} {sign} {b}"
        for sign in ("==", "!=")
        for a in ("country", "'FR'")
        for b in ("country", "channel")
    ]
    flags = ("flag", "sure", "true", "mean > 0", "small is null")
    texts += [f"({a}) {sign} ({b})" for sign in ("and", "or", "==", "!=") for a in flags for b in flags]
    texts += [f"not ({a})" for a in flags] + [f"{a} is null" for a in (*numbers, "at", "country", "flag")]
    texts += [f"{a} in (1, 0.5, 0, -0.0, 99.99)" for a in numbers] + ["country in ('BE', '', 'été')"]
    texts += [f"{a} in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)" for a in numbers]
    texts += [
        f"{name}(at{offset})" for name in ("hour", "weekday") for offset in ("", ", '+05:30'", ", '-11:30'")
    ]
    return [Case(parse(each), rows_of(at, 24)) for at, each in enumerate(texts)]


def columns_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as the engine's columns."""
    found: dict[str, Any] = {}
    for name, kind in SCHEMA.items():
        values = [row[name] for row in rows]
        null = np.array([value is None for value in values])
        if kind.kind == "float":
            found[name] = np.array([np.nan if value is None else value for value in values], np.float64)
            continue
        if kind.kind == "text":
            plain = np.array([(value or "?").encode() if value != "" else b"" for value in values], np.bytes_)
        elif kind.kind == "bool":
            plain = np.array([value is None or value for value in values], np.bool_)  # null is not False
        else:
            units = [7 if value is None else int(value * 10**kind.scale) for value in values]
            plain = np.array(units, np.int64)
        found[name] = Nullable(plain, null) if kind.nullable else plain
    return found


def compiled(case: Case) -> Program | None:
    """Return the engine's program; None where bounds or a category refuse the tree, as they should some.

    Raises:
        ConfigError: it is refused for another reason.
    """
    try:
        return Program({"it": case.tree}, SCHEMA)
    except ConfigError as error:
        if error.code == "E_EXPRESSION_RANGE" or "category" in error.what:
            return None
        raise


def by_the_oracle(case: Case) -> list[Any]:
    """Return what the oracle says of each row."""
    reading = Reading(text(case.tree), KINDS)
    values = [reading.of(row).value for row in case.rows]
    return [None if value is None else _bits(value, None) for value in values]


def by_the_engine(case: Case) -> list[Any]:
    """Return what the engine says of each row; nothing of a tree that is refused."""
    program = compiled(case)
    if program is None:
        return []
    values, null = program.evaluate(columns_of(case.rows))["it"]
    kind = program.types["it"]
    if kind.kind == "float":
        assert null is None
        null = np.isnan(values)
    if kind.kind == "bool":
        true = (
            Program({"it": case.tree}, SCHEMA, truth_only=True).evaluate(columns_of(case.rows))["it"].values
        )
        assert true.tolist() == values.tolist(), "what is true does not depend on who asks"
    nulls = [False] * len(values) if null is None else null.tolist()
    return [None if n else _bits(v, kind) for v, n in zip(values.tolist(), nulls, strict=True)]


def _bits(value: Any, kind: Type | None) -> Any:
    """Return what tells two values apart to the last bit: -0.0 is not 0.0, and 1 is not True."""
    if isinstance(value, bool):
        return value, "bool"
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int | Fraction):
        return Fraction(value, 10**kind.scale if kind else 1)
    return value
