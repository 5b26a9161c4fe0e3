"""From how a file writes a value to how its contract has it, by a few words.

number ,             12,50 or 1.234,5 or 12,50 EUR, the decimal mark a comma: a number
number .             $1,234.50 or 12.50: a number
boolean              true and false in any letters
text                 whatever it is, as text
iso                  an ISO 8601 time that lacks seconds, or has no time of day: in full
time %d.%m.%Y %H:%M  a time as strptime reads it: ISO 8601, without an offset where the format has none
epoch_s              a text or float of whole seconds: a whole number; epoch_ms, epoch_us too
seconds              seconds with a fraction: whole milliseconds
nanoseconds          whole microseconds
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

NOTHING = frozenset(
    ["", "-", "--", "?", "n/a", "na", "nan", "null", "none", "unknown", "."]
)  # beside numbers
_SIGNS = re.compile(r"[\s\u00a0\u202f'$€£¥%]|(?i:eur|usd|gbp|chf|kr|zł)")
_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_GROUPED = {
    ",": re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?"),
    ".": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?"),
}
Convert = Callable[[Any], Any]


def converter(words: str) -> Convert:
    """Return what converts a value; it returns None for None, and for what stands beside numbers for nothing.

    Raises:
        ValueError: the words are none of the above; and when it is called: a value that cannot be converted.

    >>> [converter("number ,")(text) for text in ("1.234,50", "12", "n/a")]
    [1234.5, 12, None]
    >>> converter("time %d.%m.%Y %H:%M")("31.01.2024 9:05"), converter("iso")("2024-01-31")
    ('2024-01-31T09:05:00', '2024-01-31T00:00:00')
    >>> converter("seconds")("1700000000.25"), converter("text")(7)
    (1700000000250, '7')
    """
    kind, _, rest = words.partition(" ")
    if kind == "time" and rest:
        return _unless_missing(partial(_time, form=rest))
    if kind == "number" and rest in _GROUPED:
        return _unless_missing(partial(_number, mark=rest))
    if not rest and kind in _KINDS:
        return _unless_missing(_KINDS[kind])
    raise ValueError(f"{words!r} is no conversion")


def _unless_missing(convert: Convert) -> Convert:
    def converted(value: Any) -> Any:
        return None if value is None else convert(value)

    return converted


def _number(value: Any, mark: str) -> int | float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    if text.lower() in NOTHING:
        return None
    text = _SIGNS.sub("", text).replace("\u2212", "-")
    if text.startswith("(") and text.endswith(")"):  # as bookkeepers write what is below zero
        text = f"-{text[1:-1]}"
    if mark == ",":
        text = (text.replace(".", "") if _GROUPED[","].fullmatch(text) else text).replace(",", ".")
    elif _GROUPED["."].fullmatch(text):
        text = text.replace(",", "")
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{value!r} is no number")
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def _boolean(value: Any) -> bool:
    found = {"true": True, "t": True, "false": False, "f": False}.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _iso(value: Any) -> str:
    text = str(value).strip()
    for zone in (" UTC", " GMT", "UTC", "GMT"):
        text = f"{text.removesuffix(zone)}Z" if text.endswith(zone) else text
    return _written(datetime.fromisoformat(text.replace(" Z", "Z")))


def _time(value: Any, form: str) -> str:
    return _written(datetime.strptime(str(value).strip(), form))


def _written(moment: datetime) -> str:
    """Return a time as contracts read it: to the millisecond, in UTC where it has an offset."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    text = moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return f"{text}Z" if moment.tzinfo is not None else text


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")
    found = Decimal(str(value).strip())
    if found != found.to_integral_value():
        raise ValueError(f"{value!r} is no whole number")
    return int(found)


_KINDS: dict[str, Convert] = {
    "boolean": _boolean, "text": _text, "iso": _iso,
    "epoch_s": _whole, "epoch_ms": _whole, "epoch_us": _whole,
    "seconds": lambda value: round(Decimal(str(value).strip()) * 1000),
    "nanoseconds": lambda value: _whole(value) // 1000,
}  # fmt: skip
