"""Expressions: what is refused and how it is said, what types are found, what may filter."""

import numpy as np
import pytest

from contracts.errors import ConfigError
from features.expressions import (
    Expression,
    Nullable,
    Program,
    Schema,
    boolean,
    check_filter,
    coalesce,
    col,
    content_hash,
    decimal,
    describe,
    hour,
    infer,
    integer,
    log1p,
    maximum,
    minimum,
    number,
    parse,
    ratio,
    substitute,
    text,
    text_type,
    time,
    tree_of,
    weekday,
)

SCHEMA: Schema = {
    "amount": integer(0, 10**12), "unknown": integer(), "price": decimal(2, 0, 10**9), "mean": number(),
    "flag": boolean(), "country": text_type("BE", "FR", nullable=True), "note": text_type(), "at": time(),
}  # fmt: skip


def _refusal(written: str) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        infer(parse(written), SCHEMA, written)
    assert refused.value.next_step
    return refused.value


@pytest.mark.parametrize(
    ("code", "at", "written"),
    [
        ("SYNTAX", 1, ""),
        ("SYNTAX", 8, "amount ="),
        ("SYNTAX", 8, "amount = 3"),
        ("SYNTAX", 8, "amount <> 3"),
        ("SYNTAX", 8, "amount ÷ 3"),
        ("SYNTAX", 1, "amount if flag else mean"),
        ("SYNTAX", 1, "amount ** 2"),
        ("SYNTAX", 1, "amount % 2"),
        ("SYNTAX", 1, "+amount"),
        ("SYNTAX", 1, "[amount]"),
        ("SYNTAX", 1, "amount.real"),
        ("SYNTAX", 1, "__import__('os')"),
        ("SYNTAX", 1, "absolute(amount)"),
        ("SYNTAX", 1, "abs(amount, mean)"),
        ("SYNTAX", 1, "abs(x=amount)"),
        ("SYNTAX", 1, "abs(*amount)"),
        ("SYNTAX", 10, "amount > null"),
        ("SYNTAX", 10, "amount > None"),
        ("SYNTAX", 11, "amount is 3"),
        ("SYNTAX", 11, "amount in (mean, 2)"),
        ("SYNTAX", 11, "amount in ()"),
        ("SYNTAX", 11, "amount in 3"),
        ("SYNTAX", 9, "note == 'a' 'b'"),
        ("SYNTAX", 9, "note == b'a'"),
        ("SYNTAX", 9, "note == f'a'"),
        ("SYNTAX", 12, "amount > 1 # and flag"),
        ("SYNTAX", 10, "amount > 1e999"),
        ("SYNTAX", 10, "amount > 2j"),
        ("SYNTAX", 10, "amount > 9223372036854775808"),
        ("SYNTAX", 1, "ämount > 1"),
        ("SYNTAX", 1, "col(amount) > 1"),
        ("SYNTAX", 7, "amount) + (mean"),
        ("NAME", 1, "amuont > 3"),
        ("NAME", 12, "flag   and fag"),
        ("TYPE", 1, "amount and flag"),
        ("TYPE", 5, "not amount"),
        ("TYPE", 1, "note + 1"),
        ("TYPE", 1, "flag * 2"),
        ("TYPE", 1, "note > 'a'"),
        ("TYPE", 1, "note == 3"),
        ("TYPE", 1, "flag > true"),
        ("TYPE", 12, "country == 'FRR'"),
        ("TYPE", 13, "country in ('FRR',)"),
        ("TYPE", 10, "note in (3, 'a')"),
        ("TYPE", 1, "at + at"),
        ("TYPE", 1, "at > amount"),
        ("TYPE", 1, "at * 2"),
        ("TYPE", 6, "hour(amount)"),
        ("TYPE", 10, "hour(at, 'Paris')"),
        ("TYPE", 10, "hour(at, '+15:00')"),
        ("TYPE", 1, "coalesce(amount, note)"),
        ("RANGE", 1, "unknown + 1"),
        ("RANGE", 1, "-unknown"),
        ("RANGE", 1, "abs(unknown)"),
        ("RANGE", 1, "amount * amount"),
        ("RANGE", 1, "unknown > mean"),
        ("RANGE", 1, "unknown / 2"),
        ("RANGE", 1, "price + 0.1234567890123456789012"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(code: str, at: int, written: str) -> None:
    error = _refusal(written)
    assert error.code == f"E_EXPRESSION_{code}"
    assert error.where.startswith(f"character {at} of "), error


@pytest.mark.parametrize(
    "written", ["a" * 5000, "(" * 300 + "amount" + ")" * 300, "not " * 200 + "flag", "a" + "+a" * 900]
)
def test_what_is_too_large_is_refused(written: str) -> None:
    assert _refusal(written).code == "E_EXPRESSION_SYNTAX"


def test_the_nearest_name_is_said() -> None:
    assert _refusal("amuont > 3").next_step == "the nearest is amount"
    assert "there are BE, FR" in _refusal("country == 'zzz'").next_step
    assert _refusal("mni(amount, 2)").next_step == "the nearest is min"
    assert "write ==" in _refusal("amount = 3").next_step


def test_an_error_of_a_tree_made_in_python_has_a_place_in_its_text() -> None:
    with pytest.raises(ConfigError, match=r'character 15 of "amount > 3 or amuont > 3"'):
        infer(((col("amount") > 3) | (col("amuont") > 3)).tree, SCHEMA)


def test_a_place_is_counted_in_characters_of_the_whole_text() -> None:
    assert _refusal("  note == 'é' and\n amuont > 1").where.startswith("character 20 of ")


PAIRS: list[tuple[Expression, str]] = [
    (col("a") + 1 - col("b") * 2, "a + 1 - b * 2"),
    (1 - (col("a") - col("b")), "1 - (a - b)"),
    (ratio(col("a"), 2 * col("b")), "a / (2 * b)"),
    (2 / col("a") + (3 + col("b")), "2 / a + (3 + b)"),
    (-(col("a") + 1), "-(a + 1)"),
    (abs(-col("a")), "abs(-a)"),
    ((col("a") > 1) & (col("b") <= 2.5) & ~(col("c") == "x"), "a > 1 and b <= 2.5 and not c == 'x'"),
    ((col("a") != 1) | (col("b") < 2) & (col("c") >= 3), "a != 1 or b < 2 and c >= 3"),
    (((col("a") != 1) | (col("b") < 2)) & (col("c") >= 3), "(a != 1 or b < 2) and c >= 3"),
    (True & col("a") | False, "true and a or false"),
    (col("a").is_in([2, 1, 2]), "a in (1, 2)"),
    (~col("a").is_in(["x"]), "a not in ('x',)"),
    (col("a").is_null() | col("b").is_not_null(), "a is null or b is not null"),
    (coalesce(col("a"), 0), "coalesce(a, 0)"),
    (minimum(col("a"), 1, 2.5) > maximum(col("b"), -1), "min(a, 1, 2.5) > max(b, -1)"),
    (log1p(col("a")), "log1p(a)"),
    ((hour(col("t")) < 6) & (weekday(col("t"), "+01:00") >= 5), "hour(t) < 6 and weekday(t, '+01:00') >= 5"),
    (col("is") == col("a b"), "col('is') == col('a b')"),
    (col("a") == -9223372036854775808, "a == -9223372036854775808"),
    (col("a") == -0.0, "a == -0.0"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "written"), PAIRS)
def test_python_and_text_are_the_same_tree(made: Expression, written: str) -> None:
    assert parse(written) == made.tree
    assert text(made.tree) == written == repr(made)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ratio(a, b)", "a/b"), ("not x in (2, 1)", "x not in (1, 2)"), ("not x is null", "x is not null"),
        ("(a and b) and c", "a and (b and c)"), ("1 < a < 3", "1 < a and a < 3"), ("- 1", "-1"),
        ("x is None and True", "x is null and true"), ("a\n  > 1", "a > 1"),
        ('"a"', "'a'"), ("1_000", "1000"),
    ],
)  # fmt: skip
def test_two_spellings_of_one_meaning_are_one_tree(one: str, other: str) -> None:
    assert parse(one) == parse(other)
    assert content_hash(parse(one)) == content_hash(parse(other))


def test_what_differs_in_meaning_differs_in_tree_and_hash() -> None:
    different = [
        "a == 1",
        "a == 1.0",
        "a == true",
        "a == '1'",
        "a == 0.0",
        "a == -0.0",
        "a is null",
        "b == 1",
    ]
    trees = [parse(written) for written in different]
    assert len(set(trees)) == len({content_hash(tree) for tree in trees}) == len(different)


def test_an_expression_has_no_truth_value_and_no_empty_list() -> None:
    with pytest.raises(ConfigError, match="E_EXPRESSION_SYNTAX"):
        bool(col("a") > 1)
    with pytest.raises(ConfigError, match="E_EXPRESSION_SYNTAX"):
        col("a").is_in([])
    with pytest.raises(ConfigError, match="E_EXPRESSION_SYNTAX"):
        tree_of(float("nan"))


@pytest.mark.parametrize(
    ("written", "kind", "nullable"),
    [
        ("amount + 1", "int", False), ("amount / 2", "float", True), ("price * 2", "decimal", False),
        ("price + 0.5", "decimal", False), ("amount * 0.5", "float", True), ("at - at", "int", False),
        ("at + 60000", "time", False), ("country == 'FR'", "bool", True), ("country is null", "bool", False),
        ("coalesce(country, 'BE')", "text", False), ("mean > 1", "bool", True),
        ("min(price, 1)", "decimal", False),
    ],
)  # fmt: skip
def test_types(written: str, kind: str, nullable: bool) -> None:
    found = infer(parse(written), SCHEMA)
    assert (found.kind, found.nullable) == (kind, nullable)


def test_bounds_follow_the_arithmetic() -> None:
    found = infer(parse("abs(amount - 5) * 2"), SCHEMA)
    assert (found.low, found.high) == (0, 2 * (10**12 - 5))
    assert infer(parse("price * 0.25"), SCHEMA).scale == 4


@pytest.mark.parametrize(
    "written",
    ["amount > 5", "price <= 0.125 and not flag", "country in ('FR',)", "mean > 0.1", "hour(at) < 6",
     "amount * 2 > 4"],
)  # fmt: skip
def test_an_exact_condition_may_filter(written: str) -> None:
    check_filter(parse(written), SCHEMA, written)


@pytest.mark.parametrize(
    "written",
    ["amount", "amount / 2 > 1", "log1p(mean) > 1", "mean + 1 > 2", "price > mean", "max(price, mean) > 1"],
)
def test_what_is_not_exact_or_no_condition_may_not(written: str) -> None:
    with pytest.raises(ConfigError, match="E_EXPRESSION_FILTER"):
        check_filter(parse(written), SCHEMA, written)


def test_trees_share_their_parts_and_literals_fill_the_batch() -> None:
    trees = {
        "a": parse("mean / 2 > 1"),
        "b": parse("mean / 2"),
        "c": parse("1.5"),
        "d": parse("mean / 2 > 2"),
    }
    program = Program(trees, SCHEMA)
    assert program.inputs == ("mean",)
    assert len(program._start) == 9  # mean, 2, 2.0, mean / 2, 1, 1.0, > 1, 1.5, > 2: 2 and 2.0 are there
    found = program.evaluate({"mean": np.array([3.0, np.nan])})
    assert found["c"].values.tolist() == [1.5, 1.5]
    assert found["a"].values.tolist() == [True, False]
    assert found["a"].null.tolist() == [False, True]


def test_a_column_with_nulls_is_given_with_its_mask() -> None:
    program = Program({"it": parse("amount > 1 or amount is null")}, {"amount": integer(0, 9, nullable=True)})
    given = Nullable(np.array([5, 5]), np.array([False, True]))
    assert program.evaluate({"amount": given})["it"].values.tolist() == [True, True]


def test_a_column_that_is_not_given_is_missed() -> None:
    with pytest.raises(KeyError):
        Program({"it": parse("amount > 1")}, SCHEMA).evaluate({"mean": np.zeros(1)})


def test_names_are_replaced_by_figures() -> None:
    tree = substitute(parse("amount > -limit and (mean in (1, 2) or abs(limit) < 3)"), {"limit": tree_of(5)})
    assert text(tree) == "amount > -5 and (mean in (1, 2) or abs(5) < 3)"


def test_pages_show_signs_that_people_write() -> None:
    assert describe(parse("(a - b) / (c * 2) >= 1 and d != 'x'")) == "(a − b) ÷ (c × 2) ≥ 1 and d ≠ 'x'"
