"""Which rows of a decoded batch need the strict reading: cheap tests over the whole batch at once.

A typed decoder passes repeated keys, unknown fields and whatever is inside those. Without a backslash in a
document, every quotation mark opens or closes a string, so an event whose known fields account for all
marks has no other field and none twice. Each test looks at the joined batch first and searches for the
rows only when something was found.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import repeat
from operator import attrgetter, is_not
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from contracts.field_check import is_letters
from contracts.raw import RawBatch
from contracts.terms import Field, Limits, Terms

_INT64 = 1 << 63


class Suspects(NamedTuple):
    """Row numbers: `strict` need the strict reading, `wide` only carry more than the known fields."""

    strict: set[int]
    wide: set[int]


class _Live(NamedTuple):
    """The rows that decoded, as parallel lists."""

    events: list[Any]
    values: list[Any]
    keys: list[bytes | None]
    timestamps_ms: list[int]


def suspects(terms: Terms, limits: Limits, batch: RawBatch, events: list[Any]) -> Suspects:
    """Return the rows that the fast path may not accept; `events` has None where decoding failed."""
    rows: Sequence[int] = range(len(events))
    live = _Live(events, batch.values, batch.keys, batch.timestamps_ms)
    strict: set[int] = set()
    if not all(map(is_not, events, repeat(None))):
        rows = [i for i, event in enumerate(events) if event is not None]
        strict = set(range(len(events))).difference(rows)
        if not rows:
            return Suspects(strict, set())
        live = _Live(*([column[i] for i in rows] for column in live))  # type: ignore[arg-type]
    blob = b"".join(live.values)
    for test in (
        _texts(live, limits, blob),
        _keys(live, terms, limits),
        _times(live, terms, limits),
        _letters(live, terms),
    ):
        strict.update(rows[i] for i in test)
    return Suspects(strict, {rows[i] for i in _marks(live, terms, blob)} - strict)


def extra_fields(value: bytes, terms: Terms, limits: Limits) -> int | None:
    """Return how many unknown fields a flat ASCII document without escapes has; None: read it strictly."""
    try:
        document = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    marks = 2 * len(document)
    for item in document.values():
        if isinstance(item, str):
            marks += 2
        elif isinstance(item, (dict, list)) or (item is not None and not -_INT64 <= item < _INT64):
            return None
    if marks != value.count(b'"') or len(document) > limits.fields_max:
        return None
    return len(document.keys() - known_fields(terms))


@cache
def known_fields(terms: Terms) -> frozenset[str]:
    """Return the names a contract knows."""
    return frozenset(field.name for field in terms.fields)


def _texts(live: _Live, limits: Limits, blob: bytes) -> Iterator[int]:
    """Yield rows with escapes, other than ASCII, or long enough to be or hold something oversized."""
    bytes_max = min(limits.field_bytes_max, limits.value_bytes_max)
    if b"\\" in blob:
        yield from (i for i, value in enumerate(live.values) if b"\\" in value)
    if not blob.isascii():
        yield from (i for i, value in enumerate(live.values) if not value.isascii())
    if max(map(len, live.values)) > bytes_max:
        yield from (i for i, value in enumerate(live.values) if len(value) > bytes_max)


def _keys(live: _Live, terms: Terms, limits: Limits) -> Iterator[int]:
    """Yield rows whose key is too long or not their key field; ids hold no NUL, so they may be joined."""
    ids = list(map(attrgetter(terms.key_field), live.events))
    try:
        joined = b"\0".join(live.keys)  # type: ignore[arg-type]  # None raises TypeError
        if joined == "\0".join(ids).encode() and max(map(len, ids)) <= limits.key_bytes_max:
            return
    except TypeError:
        pass
    yield from (
        i
        for i, key in enumerate(live.keys)
        if key != ids[i].encode() or len(key or b"") > limits.key_bytes_max
    )


def _times(live: _Live, terms: Terms, limits: Limits) -> Iterator[int]:
    latest = np.array(live.timestamps_ms, np.int64) + limits.skew_ms
    for field in terms.fields:
        if field.kind == "time":
            times = np.fromiter(map(attrgetter(field.name), live.events), np.int64, len(live.events))
            yield from np.flatnonzero(times > latest).tolist()


def _letters(live: _Live, terms: Terms) -> Iterator[int]:
    for field in terms.fields:
        if field.letters:
            texts = list(map(attrgetter(field.name), live.events))
            wrong = {text for text in set(texts) if isinstance(text, str) and not is_letters(text)}
            if wrong:
                yield from (i for i, text in enumerate(texts) if text in wrong)


def _marks(live: _Live, terms: Terms, blob: bytes) -> list[int]:
    """Return the rows whose quotation marks are not those of their known fields."""
    count, found_in_all = len(live.events), blob.count(b'"')
    marks = count * sum(_full(field) for field in terms.fields if field.required)
    if found_in_all == marks:  # nobody has fewer, so nobody has an optional field
        return []
    for field in terms.fields:
        if not field.required:
            present = list(map(attrgetter(field.name), live.events))
            missing = present.count(UNSET)
            marks += (count - missing) * _full(field) - present.count(None) * (_full(field) - 2)
    if found_in_all == marks:
        return []
    found = np.array([value.count(b'"') for value in live.values], np.int64)
    return np.flatnonzero(found != _marks_a_row(live.events, terms)).tolist()


def _marks_a_row(events: list[Any], terms: Terms) -> NDArray[np.int64]:
    """Return how many quotation marks each event's known fields need: two a key, two a string."""
    marks = np.zeros(len(events), np.int64)
    for field in terms.fields:
        full = _full(field)
        if field.required:
            marks += full
        else:
            present = map(attrgetter(field.name), events)
            marks += np.array([0 if v is UNSET else 2 if v is None else full for v in present], np.int64)
    return marks


def _full(field: Field) -> int:
    """Return the quotation marks of a field that is there: two of its name, two of a string."""
    return 4 if field.kind == "string" else 2
