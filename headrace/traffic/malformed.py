"""Records that break their contract, each with the code that must be on it in the dead letters.

What can be broken follows from the contract: its key, a text, a measure, a time. Each is made from the good
record beside it, so the same workload and seed give the same malformed bytes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.contract_version import INT64_MAX, ContractField
from headrace.traffic.form import Form
from headrace.traffic.input_files import Record, Records

FAR_FUTURE_MS = 4_102_444_800_000  # the year 2100
PER_MS = {"epoch_s": 1 / 1000, "epoch_us": 1000}
Row = dict[str, Any]
Maker = Callable[[Row], bytes | None]  # the value of a malformed record, from a good row
Expected = tuple[bytes | None, bytes | None, str]  # key, value, code


def malformed_record(form: Form, row: Row, number: int) -> tuple[Record, str]:
    """Return malformed record `number` made from a good row, and its expected code.

    >>> from features.project.running import project_at
    >>> from headrace.traffic.form import forms_of
    >>> row = {"reset_id": "r1", "account": {"id": "a1"}, "method": "sms"}
    >>> malformed_record(forms_of(project_at("examples/logins").pipeline)["resets"], row, 0)
    ((b'a1', b''), 'E_DECODE_EMPTY')
    """
    code, make = malformed_makers(form)[number % len(malformed_makers(form))]
    named = row
    for field in form.ids:
        named = _put(named, field, _id(field, number))
    keys = {"E_KEY_NULL": None, "E_KEY_MISMATCH": b"somebody-else"}
    return (keys[code] if code in keys else form.key_of(named), make(named)), code


@cache
def malformed_makers(form: Form) -> tuple[tuple[str, Maker], ...]:
    """Return what can be made of a source's good rows, each with its code."""
    return (*_broken_json(form), *_broken_fields(form), *_broken_keys(form), *_broken_times(form.time))


def _broken_json(form: Form) -> Iterator[tuple[str, Maker]]:
    text = (form.key or _texts(form)[0]).path[-1].encode()
    first = _measure(form) or form.time
    again = b',"' + first.path[0].encode() + b'":1}'
    yield "E_DECODE_EMPTY", lambda _: b""
    yield "E_DECODE_NULL", lambda _: None
    yield "E_DECODE_EMPTY", lambda _: b"  \n "
    yield "E_DECODE_NOT_OBJECT", lambda row: b"[" + _json(row) + b"]"
    yield "E_DECODE_JSON", lambda row: _json(row)[: len(_json(row)) // 2]
    yield "E_DECODE_JSON", lambda row: _json(row) + b"x"
    yield "E_DECODE_JSON", lambda row: _json(row) * 2
    yield "E_DECODE_JSON", lambda row: b"\x00\x00\x00\x00\x07" + _json(row)[:40]
    yield "E_DECODE_UTF8", lambda row: _json(row).replace(b'"' + text + b'":"', b'"' + text + b'":"\xff', 1)
    for literal in (b"NaN", b"1e400"):
        yield "E_DECODE_NONFINITE", _written(first, literal)
    yield "E_DECODE_DUPKEY", lambda row: _json(row)[:-1] + again


def _broken_fields(form: Form) -> Iterator[tuple[str, Maker]]:
    measure, texts = _measure(form), _texts(form)
    if measure is not None:
        yield "E_CONTRACT_RANGE", _changed(measure, 2**63)
        if measure.bounds[0] > -INT64_MAX + 5:
            yield "E_CONTRACT_RANGE", _changed(measure, measure.bounds[0] - 5)
        for value in ("12.50", True, 1.5):
            yield "E_CONTRACT_TYPE", _changed(measure, value)
    else:
        for other in (7, True, ["x"]):
            yield "E_CONTRACT_TYPE", _changed(texts[-1], other)
        if texts[-1].bounds[1] < form.source.versions[-1].limits.field_bytes_max:
            yield "E_CONTRACT_LENGTH", _changed(texts[-1], "x" * (texts[-1].bounds[1] + 1))
        for category in (field for field in form.fields.values() if field.enum and not field.accepted):
            yield "E_CONTRACT_ENUM", _changed(category, "none of them")
    yield "E_CONTRACT_NULL", _changed(texts[-1], None)
    yield "E_CONTRACT_MISSING", _without(texts[-1])
    yield "E_CONTRACT_MISSING", _without(form.time)


def _broken_keys(form: Form) -> Iterator[tuple[str, Maker]]:
    """Yield good values that come under another key, where the contract looks at keys."""
    if form.source.versions[-1].key_field:
        yield "E_KEY_NULL", _json
        yield "E_KEY_MISMATCH", _json


def _broken_times(time: ContractField) -> Iterator[tuple[str, Maker]]:
    low, high = time.column_bounds
    far_ms = min(high, FAR_FUTURE_MS)
    if far_ms > datetime.now(UTC).timestamp() * 1000 + 10 * 365 * 86_400_000:
        yield "E_TIME_FUTURE", _changed(time, _written_time(time, far_ms))
    yield "E_TIME_RANGE", _changed(time, _written_time(time, 0 if low > 0 else -1_000))


def _written_time(field: ContractField, at_ms: int) -> int | str:
    if field.time_format == "iso8601":
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
    return int(at_ms * PER_MS.get(field.time_format, 1))


def _texts(form: Form) -> list[ContractField]:
    """Return the fields that hold a text that is asked for and is no id; ids where there is nothing else."""
    plain = [f for f in form.fields.values() if f.type == "string" and f.required and not f.enum]
    return [field for field in plain if field not in form.ids] or plain or [form.time]


def _measure(form: Form) -> ContractField | None:
    whole = (f for f in form.fields.values() if f.type == "integer" and f.required and f not in form.ids)
    return next((field for field in whole if field.shape == "one"), None)


def _id(field: ContractField, number: int) -> str | int:
    if field.type != "string":
        return field.bounds[1] - number
    name = f"malformed-{number:08d}"
    return name if len(name) <= field.bounds[1] else f"m{number}"


def _changed(field: ContractField, value: object) -> Maker:
    return lambda row: _json(_put(row, field, value))


def _without(field: ContractField) -> Maker:
    return lambda row: _json(_put(row, field))


def _written(field: ContractField, literal: bytes) -> Maker:
    """Write a field as a literal that no JSON library would write."""
    return lambda row: _json(_put(row, field, "\1")).replace(b'"\\u0001"', literal)


def _put(row: Row, field: ContractField, *value: object) -> Row:
    """Return a row with another value where a field stands; with none the field is left out."""

    def put(within: Row, path: tuple[str, ...]) -> Row:
        if len(path) > 1:
            return {**within, path[0]: put(within.get(path[0]) or {}, path[1:])}
        rest = {name: kept for name, kept in within.items() if value or name != path[0]}
        return {**rest, path[0]: value[0]} if value else rest

    return put(row, field.path)


def _json(row: Row) -> bytes:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()


class MalformedMix:
    """Records with malformed ones in between: `ratio` of all that is sent.

    The moments and ids are those of the good records; `expected` counts what has been handed out.
    """

    def __init__(self, records: Records, form: Form, ratio: float, seed: int) -> None:
        self._records, self._form = records, form
        self.moment_ms: NDArray[np.int64] = records.moment_ms
        odds = ratio / (1.0 - ratio)
        self.before: NDArray[np.bool_] = np.random.default_rng([seed, 99]).random(len(self.moment_ms)) < odds
        self._number = np.cumsum(self.before) - 1
        self.expected: Counter[Expected] = Counter()

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return the good records [start, stop), each malformed one before the record it was made from."""
        mixed: list[Record] = []
        for index, record in enumerate(self._records.slice(start, stop), start):
            if self.before[index] and (row := _object(record[1])) is not None:
                broken, code = malformed_record(self._form, row, int(self._number[index]))
                self.expected[(*broken, code)] += 1
                mixed.append(broken)
            mixed.append(record)
        return mixed

    def ids(self) -> list[str]:
        """Return the good records' ids."""
        return self._records.ids()


def _object(value: bytes | None) -> Row | None:
    try:
        row = json.loads(value or b"")
    except ValueError:  # a given file may hold anything
        return None
    return row if isinstance(row, dict) else None
