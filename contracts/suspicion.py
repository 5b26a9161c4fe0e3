"""A batch read by the typed decoder, as columns, and which of its rows need the strict reading.

Cheap tests over the whole batch at once. A typed decoder passes repeated keys, unknown fields and whatever is
inside those. Without a backslash in a document, every quotation mark opens or closes a string, so an event
whose known fields account for all marks has no other field and none twice. Each test looks at the joined
batch first and searches for the rows only when something was found.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from operator import is_not
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from contracts.contract_version import ContractVersion, Limits
from contracts.field_check import is_letters, times_of_event, unknown_fields
from contracts.field_columns import Column, Converter, converter_of, is_checked
from contracts.keys import NULL
from contracts.raw import RawBatch
from contracts.record_form import Leaf, RecordForm

_INT64 = 1 << 63
_NOT_DECODED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError)


class FastRows(NamedTuple):
    """What a batch says as far as it decoded.

    Args:
        rows: (n,) the numbers of the rows that decoded.
        columns: of these rows, each (n,): texts as str, all others as arrays; what rows in `strict` have
            there means nothing.
        strict: rows that need the strict reading, of all.
        wide: rows that only carry more than the known fields.
    """

    rows: Sequence[int]
    columns: dict[str, Column]
    strict: set[int]
    wide: set[int]


class _Live(NamedTuple):
    """The rows that decoded, as parallel lists, and their fields' values as the decoder gives them."""

    events: list[Any]
    values: list[bytes]
    keys: list[bytes | None]
    timestamps_ms: list[int]
    blob: bytes
    fields: dict[str, list[Any]]
    columns: dict[str, Column]


class FastReader:
    """Reads batches of one contract version; `names` are the fields whose columns are made."""

    def __init__(self, version: ContractVersion, names: frozenset[str]) -> None:
        self.version = version
        self._form = RecordForm(version)
        needed = names | _compared(version)
        self._read: list[tuple[Leaf, Converter]] = [
            (leaf, converter_of(leaf.field))
            for leaf in self._form.leaves
            if leaf.field.name in needed or leaf.field.letters or is_checked(leaf.field)
        ]
        self._returned = names
        key = version.by_name.get(version.key_field)
        self._has_plain_key = key is not None and key.type == "string" and key.is_never_null
        self._times = tuple(field.name for field in times_of_event(version))
        self._orders = [(field.name, field.not_before) for field in version.fields if field.not_before]

    def read(self, batch: RawBatch) -> FastRows:
        """Return what the decoder makes of a batch, and which rows it may not be believed of."""
        events = self._decoded(batch.values)
        rows: Sequence[int] = range(len(events))
        parts: list[list[Any]] = [events, batch.values, batch.keys, batch.timestamps_ms]
        strict: set[int] = set()
        if not all(map(is_not, events, repeat(None))):
            rows = [i for i, event in enumerate(events) if event is not None]
            strict = set(range(len(events))).difference(rows)
            parts = [[part[i] for i in rows] for part in parts]
        if not rows:
            return FastRows(rows, {}, strict, set())
        live = _Live(parts[0], parts[1], parts[2], parts[3], b"".join(parts[1]), {}, {})
        strict.update(rows[i] for i in self._suspects(live))
        wide = {rows[i] for i in self._marks(live)}
        columns = {name: column for name, column in live.columns.items() if name in self._returned}
        return FastRows(rows, columns, strict, wide - strict)

    def extra_fields(self, value: bytes) -> int | None:
        """Return how many unknown fields an ASCII document without escapes has; None: read it strictly."""
        limits = self.version.limits
        try:
            document = msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        found = _Walk(limits.depth_max)
        found.visit(document, 1)
        if (
            found.is_odd
            or found.marks != value.count(b'"')
            or max(found.keys, found.commas + 1) > limits.fields_max
        ):
            return None
        return unknown_fields(document, self.version)

    def _decoded(self, values: list[bytes | None]) -> list[Any]:
        """Return an event a value, None where the typed decoder refuses it."""
        decode = self._form.decode
        with suppress(*_NOT_DECODED):
            return list(map(decode, values))  # type: ignore[arg-type]  # None raises TypeError
        events: list[Any] = []
        add = events.append
        rest = iter(values)
        while len(events) < len(values):
            try:
                for value in rest:  # goes on behind the value that raised
                    add(decode(value))  # type: ignore[arg-type]  # None raises TypeError
            except _NOT_DECODED:
                add(None)
        return events

    def _suspects(self, live: _Live) -> Iterator[int]:
        """Yield rows that need the strict reading, and fill in the fields and columns."""
        for leaf, convert in self._read:
            name = leaf.field.name
            live.fields[name] = found = list(map(leaf.get, live.events))
            live.columns[name], wrong = convert(found)
            yield from wrong
        yield from _texts(live, self.version.limits)
        yield from self._keys(live)
        yield from self._late(live)
        yield from self._letters(live)

    def _keys(self, live: _Live) -> Iterator[int]:
        """Yield rows whose key is none, too long or not their key field."""
        if not self.version.key_field:
            return
        longest, ids = self.version.limits.key_bytes_max, live.fields[self.version.key_field]
        if not self._has_plain_key:
            ids = ["" if value is None or value is UNSET else str(value) for value in ids]
        if not _are(live.keys, ids, longest) or not (self._has_plain_key or all(ids)):
            yield from (
                i
                for i, key in enumerate(live.keys)
                if not key or key != ids[i].encode() or len(key) > longest
            )

    def _late(self, live: _Live) -> Iterator[int]:
        """Yield rows whose times lie ahead of the record, or before each other."""
        latest = np.array(live.timestamps_ms, np.int64) + self.version.limits.skew_ms
        for name in self._times:
            yield from np.flatnonzero(np.asarray(live.columns[name]) > latest).tolist()
        for name, earlier in self._orders:
            later, first = np.asarray(live.columns[name]), np.asarray(live.columns[earlier])
            yield from np.flatnonzero((later < first) & (later != NULL)).tolist()

    def _letters(self, live: _Live) -> Iterator[int]:
        for leaf, _ in self._read:
            if leaf.field.letters:
                texts = live.fields[leaf.field.name]
                wrong = {text for text in set(texts) if isinstance(text, str) and not is_letters(text)}
                if wrong:
                    yield from (i for i, text in enumerate(texts) if text in wrong)

    def _marks(self, live: _Live) -> Sequence[int]:
        """Return the rows whose quotation marks are not those of their known fields."""
        form, count = self._form, len(live.events)
        if form.has_objects:  # what is inside them is not decoded
            return range(count)
        found_in_all, marks = live.blob.count(b'"'), count * form.marks
        if found_in_all == marks:  # nobody has fewer, so nobody has an optional field
            return ()
        loose = [live.fields.get(name) or list(map(get, live.events)) for name, get, _ in form.loose]
        for (_, _, full), present in zip(form.loose, loose, strict=True):
            missing = present.count(UNSET)
            marks += (count - missing) * full - present.count(None) * (full - 2)
        if found_in_all == marks:
            return ()
        found = np.array([value.count(b'"') for value in live.values], np.int64)
        needed = np.full(count, form.marks, np.int64)
        for (_, _, full), present in zip(form.loose, loose, strict=True):
            needed += np.array([0 if v is UNSET else 2 if v is None else full for v in present], np.int64)
        return np.flatnonzero(found != needed).tolist()


def _are(keys: list[bytes | None], ids: list[str], longest: int) -> bool:
    """Return whether each key is its id, and none longer than that: all are compared at once, joined by NUL.

    That is exact only if no key and no id holds one: a key that does would else be read together with the
    record behind it.
    """
    try:
        joined = b"\0".join(keys)  # type: ignore[arg-type]  # None raises TypeError
    except TypeError:
        return False
    if joined.count(b"\0") != len(ids) - 1 or max(map(len, ids)) > longest:
        return False
    return joined == "\0".join(ids).encode()


def _compared(version: ContractVersion) -> frozenset[str]:
    """Return the fields that are compared with something: the key, times."""
    orders = {name for field in version.fields if field.not_before for name in (field.name, field.not_before)}
    return frozenset({version.key_field, *(field.name for field in times_of_event(version)), *orders})


def _texts(live: _Live, limits: Limits) -> Iterator[int]:
    """Yield rows with escapes, other than ASCII, or long enough to be or hold something oversized."""
    bytes_max = min(limits.field_bytes_max, limits.value_bytes_max)
    if b"\\" in live.blob:
        yield from (i for i, value in enumerate(live.values) if b"\\" in value)
    if not live.blob.isascii():
        yield from (i for i, value in enumerate(live.values) if not value.isascii())
    if max(map(len, live.values)) > bytes_max:
        yield from (i for i, value in enumerate(live.values) if len(value) > bytes_max)


class _Walk:
    """What a document without escapes holds in all: quotation marks, keys, commas; or that it is odd.

    Odd is what is deeper than the limit, and a number that is not plainly finite.
    """

    def __init__(self, depth_max: int) -> None:
        self.marks = 0
        self.keys = 0
        self.commas = 0
        self.is_odd = False
        self._depth_max = depth_max

    def visit(self, item: Any, depth: int) -> None:
        """Take a value in."""
        if isinstance(item, str):
            self.marks += 2
        elif isinstance(item, dict):
            self.marks += 2 * len(item)
            self.keys += len(item)
            self._inside(item.values(), len(item), depth)
        elif isinstance(item, list):
            self._inside(item, len(item), depth)
        elif item is not None and not -_INT64 <= item < _INT64:
            self.is_odd = True

    def _inside(self, items: Iterable[Any], count: int, depth: int) -> None:
        self.commas += max(count - 1, 0)
        if depth > self._depth_max:
            self.is_odd = True
            return
        for item in items:
            self.visit(item, depth + 1)
