"""Which times a column holds, and how: ISO 8601, an epoch's unit, or a form that only a conversion reads."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from contracts.contract_version import TIME_MS_MAX, TimeFormat
from contracts.document import Refused
from contracts.written_values import time_of
from headrace.given.convert import converter
from headrace.given.given import moment
from headrace.init.column import GivenColumn
from headrace.init.guess import ColumnKind
from headrace.init.words import NOT_THE_EVENT, OF_DURATIONS, TIMES, words_of

YEAR_MS = 31_557_600_000
EPOCHS: tuple[tuple[str, int], ...] = (
    ("epoch_s", 1_000_000), ("epoch_ms", 1_000), ("epoch_us", 1), ("nanoseconds", 0),
)  # fmt: skip  # and the microseconds of one
DATES = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")
WORDY = (
    "%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d-%b-%y", "%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
    "%B %d %Y",
    "%a %d %b %Y", "%a, %d %b %Y", "%a %b %d %Y",
)  # fmt: skip
CLOCKS = (
    "", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %I:%M%p", " %H:%M:%S.%f", ", %H:%M:%S",
    ", %H:%M",
    ":%H:%M:%S", "T%H:%M:%S", " %H.%M.%S", " %H.%M", " %H:%M Uhr", " %Hh%M", ", %I:%M:%S %p", ", %I:%M %p",
)  # fmt: skip
COMPACT = ("%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y%m%dT%H%M%S", "%Y%m%d%H%M", "%Y%m%d", "%a %b %d %H:%M:%S %Y")
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp][Mm])?")
SAMPLE = 25


def time_kind(column: GivenColumn) -> ColumnKind | None:
    """Return how a contract says a column's times; None where it holds none."""
    if "time" not in column.known:
        column.known["time"] = _time_kind(column)
    found: ColumnKind | None = column.known["time"]
    return found


def _time_kind(column: GivenColumn) -> ColumnKind | None:
    if column.types <= {int, float}:
        return _epoch(column, column.present)
    if column.types != {str}:
        return None
    texts = [text.strip() for text in column.distinct]
    if all(re.fullmatch(r"\d+(\.\d+)?", text) for text in texts):
        return _compact(column, texts) or _epoch(column, texts)
    if not all(any(sign.isdigit() for sign in text) for text in texts[:SAMPLE]):
        return None
    return _iso(texts) or _local(column, texts)


def is_clock(column: GivenColumn) -> bool:
    """Return whether a column holds times of day without a date."""
    return column.types == {str} and all(_CLOCK.fullmatch(text.strip()) for text in column.distinct)


def _iso(texts: list[str]) -> ColumnKind | None:
    zoned = 0
    for text in texts:
        try:
            time_of(text, "+00:00")
        except Refused:
            return _loose_iso(texts)
        zoned += re.search(r"[Zz]$|[+-]\d\d(:?\d\d)?$", text[19:]) is not None
    has_clock = any(text[11:19] != "00:00:00" for text in texts)
    days = "" if has_clock else ", all at midnight: days alone"
    said = "ISO 8601 with" if zoned == len(texts) else "ISO 8601 without"
    kind = ColumnKind(
        type="time", time_format="iso8601", sure=0.98, has_clock=has_clock,
        why=f"{said} an offset from UTC{days}",
    )  # fmt: skip
    return kind if zoned == len(texts) else _without_offset(kind, zoned)


def _without_offset(kind: ColumnKind, zoned: int = 0) -> ColumnKind:
    some = f", {zoned} with one" if zoned else ""
    kind.zone, kind.sure = "+00:00", min(kind.sure, 0.6)
    kind.why += f"{some}; UTC is taken"
    kind.change = "write another defaultTimezone if its clock is not UTC's, as +02:00 (no summer time)"
    return kind


def _loose_iso(texts: list[str]) -> ColumnKind | None:
    convert = converter("iso")
    try:
        made = [convert(text) for text in texts]
    except ValueError:
        return None
    if any(re.fullmatch(r"\d{1,7}", text) for text in texts):
        return None
    has_clock = any(not text.endswith(("T00:00:00", "T00:00:00Z")) for text in made)
    kind = ColumnKind(
        type="time", time_format="iso8601", sure=0.9, convert="iso", has_clock=has_clock,
        why="ISO 8601 that is not whole" if has_clock else "days without a time of day; midnight is taken",
    )  # fmt: skip
    return kind if all(text.endswith("Z") for text in made) else _without_offset(kind)


def _compact(column: GivenColumn, texts: list[str]) -> ColumnKind | None:
    """Return days written as 20240131 and the like, where the name says that it is a time."""
    if not set(words_of(column.name)) & TIMES or not all(len(text) in (8, 12, 14) for text in texts):
        return None
    return _by_forms(column, texts, COMPACT)


def _local(column: GivenColumn, texts: list[str]) -> ColumnKind | None:
    if len(max(texts, key=len)) > 40:
        return None
    return _by_forms(column, texts, tuple(_forms(texts[0])))


def _forms(text: str) -> Iterator[str]:
    """Yield the forms that a text could have: those between whose parts the same signs stand."""
    signs = _between(text)
    yield from (form for form in _every_form(text) if _between(form) == signs)


def _between(text: str) -> str:
    """Return the signs between the letters and digits of a time or of a form.

    >>> _between("31.01.2024 9:05 PM"), _between("%d.%m.%Y %I:%M %p"), _between("1/Jan/2024 +0100")
    ('.. : ', '.. : ', '// +')
    """
    return re.sub(r"%[a-zA-Z]|[^\W_]", "", text.replace("%z", "+")).replace("-", "+")


def _every_form(text: str) -> Iterator[str]:
    marks = [mark for mark in "./-" if text.count(mark) >= 2]
    dates = [form.format(mark) for mark in marks for form in DATES]
    if any(sign.isalpha() for sign in text):
        dates += WORDY
    for date in dates:
        for clock in CLOCKS:
            yield f"{date}{clock}"
            yield f"{date}{clock} %z"
    yield from COMPACT


def _by_forms(column: GivenColumn, texts: list[str], forms: tuple[str, ...]) -> ColumnKind | None:
    fitting = [form for form in forms if _reads(form, texts[:SAMPLE])]
    fitting = [form for form in fitting if _reads(form, texts)]
    if not fitting:
        return None
    form = max(fitting, key=lambda form: _order(form, column))  # the first of equals
    has_clock = "%H" in form or "%I" in form
    sure, why = 0.9, f"times as {form}"
    others = [other for other in fitting if _days_first(other) != _days_first(form)]
    change = ""
    if others:
        sure, why = 0.5, f"times as {form}; {others[0]} reads all of them too: no day is above 12"
        change = f"write {others[0]!r} in generate.py if the month comes first" if _days_first(form) else (
            f"write {others[0]!r} in generate.py if the day comes first"
        )  # fmt: skip
    why += "" if has_clock else "; midnight is taken"
    kind = ColumnKind(
        type="time", time_format="iso8601", sure=sure, why=why, change=change, convert=f"time {form}",
        has_clock=has_clock,
    )  # fmt: skip
    if "%z" in form:
        return kind
    change = kind.change
    kind = _without_offset(kind)
    kind.change = f"{change}; {kind.change}" if change else kind.change
    return kind


def _days_first(form: str) -> bool:
    return form.find("%d") < form.find("%m") if "%m" in form else True


def _reads(form: str, texts: list[str]) -> bool:
    try:
        return all(1900 <= datetime.strptime(text, form).year <= 2105 for text in texts)
    except ValueError:
        return False


def _order(form: str, column: GivenColumn) -> float:
    """Return how well a column's rows are in order of time in a form: files mostly are."""
    moments = [datetime.strptime(text.strip(), form).timestamp() for text in column.present[:2_000]]
    pairs = list(pairwise(moments))
    return sum(a <= b for a, b in pairs) / len(pairs) if pairs else 0.0


def _epoch(column: GivenColumn, values: list[Any]) -> ColumnKind | None:
    """Return the unit of numbers that are moments; small ones only where the name says so."""
    names = set(words_of(column.name))
    numbers = [float(value) for value in values]
    if not numbers or names & OF_DURATIONS:
        return None
    low, high = min(numbers), max(numbers)
    for unit, microseconds in EPOCHS:
        least, most = (_in_ms(each, microseconds) for each in (low, high))
        if not (8 * YEAR_MS < least <= most < TIME_MS_MAX):
            continue
        named = bool(names & (TIMES | NOT_THE_EVENT))
        if not named and (unit == "epoch_s" or most > 70 * YEAR_MS or least < 25 * YEAR_MS):
            return None
        fraction = any(number != int(number) for number in numbers) if unit == "epoch_s" else False
        return _of_unit(unit, fraction, column, 0.95 if named else 0.6)
    return None


def _in_ms(number: float, microseconds: int) -> float:
    return number * microseconds / 1000 if microseconds else number / 1_000_000


def _of_unit(unit: str, fraction: bool, column: GivenColumn, sure: float) -> ColumnKind:
    words = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds"}.get(unit, unit)
    convert = "seconds" if fraction else "nanoseconds" if unit == "nanoseconds" else unit
    if column.types == {int} and convert in ("epoch_s", "epoch_ms", "epoch_us"):
        convert = ""
    formats: dict[str, TimeFormat] = {"seconds": "epoch_ms", "nanoseconds": "epoch_us"}
    by_unit: dict[str, TimeFormat] = {"epoch_s": "epoch_s", "epoch_ms": "epoch_ms", "epoch_us": "epoch_us"}
    return ColumnKind(
        type="time", time_format=formats.get(convert) or by_unit[unit], sure=sure, convert=convert,
        why=f"{words} since 1970" + (", with a fraction" if fraction else ""),
        change="" if sure > 0.9 else "write another physicalType if they are of another unit",
    )  # fmt: skip


def moments_of(values: list[Any], kind: ColumnKind) -> list[int]:
    """Return the times of values as their contract has them, epoch ms, without those that are none."""
    found = (moment(value, kind.time_format, kind.zone) for value in values)
    return [each for each in found if each]
