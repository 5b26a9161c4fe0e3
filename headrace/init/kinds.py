"""Of which type a column is: truth values, whole numbers, decimals, floats, categories, texts."""

import re
from decimal import Decimal
from typing import Any

from contracts.contract_version import INT64_MAX, TEXT_BYTES_MAX
from headrace.given.convert import NOTHING, converter
from headrace.init.column import GivenColumn
from headrace.init.guess import ColumnKind
from headrace.init.times import time_kind

CATEGORY_VALUES_MAX = 20
CATEGORY_ROWS = 4  # as many rows a value, at least
SCALE_MAX, DIGITS_MAX = 6, 15  # what a float writes exactly
TEXT_BYTES_SEEN_MAX = 4_096
_CODE = re.compile(r"0\d+")


def kind_of(column: GivenColumn) -> ColumnKind:
    """Return how a contract says a column's values, and what would have to be converted."""
    found = time_kind(column)
    if found is not None:
        return found
    types = column.types
    if types == {bool}:
        return ColumnKind(type="boolean", sure=1.0, why="true and false")
    if types <= {int, float} and types:
        return _numbers(column.present, "")
    if types == {str}:
        return _of_texts(column)
    names = {"str": "texts", "int": "numbers", "float": "numbers", "bool": "truth values", "dict": "objects"}
    kinds = " and ".join(sorted({names.get(one.__name__, one.__name__) for one in types}))
    return _text(
        [_as_text(value) for value in column.present], "text", 0.5, f"{kinds} mixed; all are sent as text"
    )


def _as_text(value: Any) -> str:
    return str(converter("text")(value))


def _of_texts(column: GivenColumn) -> ColumnKind:
    texts = [text.strip() for text in column.distinct]
    if {text.lower() for text in texts} <= {"true", "false"}:
        return ColumnKind(type="boolean", convert="boolean", sure=0.95, why="true and false, written as text")
    said = [text for text in texts if text.lower() not in NOTHING]
    codes = sum(bool(_CODE.fullmatch(text)) for text in said)
    if said and not codes and all(any(sign.isdigit() for sign in text) for text in said):
        for mark in _marks(said):
            numbers = _converted(said, f"number {mark}")
            if numbers is not None:
                kind = _numbers(numbers, f"number {mark}")
                if mark == "," and any("," in text for text in said):
                    kind.why += ", the comma a decimal mark"
                return kind
    kind = _text([str(value) for value in column.present], "", 0.9, "")
    if codes and kind.type == "string" and not kind.enum:
        kind.why += ", some with leading zeros: codes, no amounts"
    return kind


def _marks(texts: list[str]) -> tuple[str, ...]:
    """Return the decimal marks that texts could have, the likelier first."""
    commas = [text for text in texts if "," in text]
    if not commas:
        return (".", ",")
    grouped = all(re.fullmatch(r"[^\d]*\d{1,3}(,\d{3})+(\.\d*)?[^\d]*", text) for text in commas)
    points_last = all(text.rfind(".") > text.rfind(",") for text in commas)
    return (".", ",") if points_last or (grouped and len(commas) > 1) else (",", ".")


def _converted(texts: list[str], words: str) -> list[Any] | None:
    convert = converter(words)
    try:
        return [convert(text) for text in texts]
    except ValueError:
        return None


def _numbers(values: list[Any], convert: str) -> ColumnKind:
    low, high = min(values), max(values)
    whole = all(isinstance(value, int) or value.is_integer() for value in values)
    if all(isinstance(value, int) for value in values):
        if not -INT64_MAX <= low <= high <= INT64_MAX:
            return _text(
                [str(value) for value in values], "text", 0.7, "numbers beyond 64 bits; sent as text"
            )
        least, most = _room(low, high, INT64_MAX)
        return ColumnKind(
            type="integer", convert=convert, sure=0.9, why=f"whole numbers from {low:,} to {high:,}",
            change="", options={"minimum": least, "maximum": most}, low=low, high=high,
        )  # fmt: skip
    texts = [repr(value) for value in values]
    scale = 0 if whole else max(map(_scale, texts))
    digits = scale + len(str(int(max(abs(low), abs(high)))))
    if scale > SCALE_MAX or digits > DIGITS_MAX:
        return ColumnKind(
            type="number", convert=convert, sure=0.8, low=low, high=high,
            why=f"floats from {low:g} to {high:g} with many digits: for a model, not for sums",
            change="to add it up, round it where it is made and write decimal(digits, scale)",
        )  # fmt: skip
    least, most = _room(low, high, 10 ** (DIGITS_MAX - scale) - 1)
    return ColumnKind(
        type="decimal", convert=convert, sure=0.8, scale=scale,
        digits=scale + len(str(max(abs(least), abs(most)))), low=low, high=high,
        why=f"numbers from {low:g} to {high:g} with at most {scale} digits behind the point",
        change=f"one with more digits is refused: write another scale than {scale}",
        options={"minimum": least, "maximum": most},
    )  # fmt: skip


def _scale(text: str) -> int:
    exponent = Decimal(text).as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _room(low: float, high: float, most: int) -> tuple[int, int]:
    """Return bounds with head room: the power of ten above ten times what was seen; 0 where none is below.

    >>> _room(3, 250, 10**9), _room(-7.5, 1, 10**9)
    ((0, 10000), (-100, 100))
    """
    top = min(most, 10 ** (len(str(int(max(abs(low), abs(high), 1)))) + 1))
    return (0 if low >= 0 else -top), top


def _text(texts: list[str], convert: str, sure: float, why: str) -> ColumnKind:
    """Return a text, or a category where few values stand in many rows."""
    distinct = sorted(set(texts))
    longest = max(len(text.encode()) for text in distinct)
    few = len(distinct) <= CATEGORY_VALUES_MAX and len(texts) >= CATEGORY_ROWS * len(distinct)
    if few and longest <= 64 and "" not in distinct and not any("\0" in text for text in distinct):
        return ColumnKind(
            type="string", convert=convert, sure=min(sure, 0.7 if len(distinct) > 6 else 0.85),
            enum=tuple(distinct),
            why=f"{why or 'texts'}: {_counted(len(distinct), 'value')} in {len(texts):,} rows",
            change="a record with another value is refused: add values, or take the enum away",
        )  # fmt: skip
    room = TEXT_BYTES_MAX if longest <= TEXT_BYTES_MAX else min(TEXT_BYTES_SEEN_MAX, 4 * longest)
    change = ""
    if longest > TEXT_BYTES_MAX:
        why, change = why or f"texts of up to {longest:,} bytes", "features cannot read texts above 256 bytes"
    least = 0 if "" in distinct else 1
    return ColumnKind(
        type="string", convert=convert, sure=sure,
        why=why or f"{len(distinct):,} texts in {len(texts):,} rows", change=change,
        options={"minLength": least, "maxLength": max(room, min(longest, 60_000))},
    )  # fmt: skip


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
