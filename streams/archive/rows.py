"""Records of the JSON topics as columns: what arrived, byte for byte, and the fields that can be read.

The raw bytes are kept whatever they are. Fields are read leniently and only to find rows by them; the
gate alone says what is valid. Personal fields stay inside the raw bytes and get no column.
"""

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pyarrow as pa
from confluent_kafka import Message

from contracts.chain import Chain
from contracts.event_identity import key_column
from contracts.pipeline import SourceStream
from contracts.raw import Unreadable
from runtime.message_headers import headers_of
from streams.archive.source_fields import SourceFields

DLQ_PREFIX = "headrace.dlq."
_INTEGER = re.compile("-?[0-9]{1,18}")
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]  # JSON has no bound, Arrow has


class _Decided(msgspec.Struct, kw_only=True, gc=False):
    """Fields shared by predictions and cases; absent or ill-typed means null."""

    event_id: str | None = None
    keys: dict[str, str | None] | None = None
    event_time: Int64 | None = None


def fields_of(source: SourceStream) -> SourceFields:
    """Return what a record of a source is found by: the fields of its contract that are not personal."""
    return SourceFields(source)


class _Model(msgspec.Struct, kw_only=True, gc=False):
    name: str | None = None
    version: str | None = None


class RawPrediction(_Decided, kw_only=True, gc=False):
    """What a prediction is found by."""

    prediction_id: str | None = None
    scored_at: Int64 | None = None
    score: float | None = None
    risk_band: str | None = None
    decision: str | None = None
    decided_by: str | None = None
    model: _Model | None = None


class RawReview(_Decided, kw_only=True, gc=False):
    """What a case is found by."""

    case_id: str | None = None
    opened_at: Int64 | None = None
    amount_minor: Int64 | None = None
    why: str | None = None
    decision: str | None = None
    score: float | None = None


class RawVerdict(msgspec.Struct, kw_only=True, gc=False):
    """What a verdict is found by."""

    verdict_id: str | None = None
    case_id: str | None = None
    event_id: str | None = None
    verdict: str | None = None
    who: str | None = None
    decided_at: Int64 | None = None


class RawDrift(msgspec.Struct, kw_only=True, gc=False):
    """A drift alert is found by nothing but its place."""


class RawQuality(msgspec.Struct, kw_only=True, gc=False):
    """What a record of the learner is found by."""

    quality_id: str | None = None
    kind: str | None = None
    at: Int64 | None = None
    code: str | None = None
    quality_model: str | None = msgspec.field(default=None, name="model")
    stage: str | None = None
    segment: str | None = None
    window_days: Int64 | None = None


def _type(annotation: Any) -> pa.DataType:
    """Return the type of a field's column.

    >>> _type(Int64 | None), _type(str | None)
    (DataType(int64), DataType(string))
    """
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    held = (get_args(one)[0] if get_origin(one) is Annotated else one for one in get_args(annotation))
    return next(kinds[one] for one in held if one in kinds)


class JsonRows:
    """Turns records of one topic into the columns of its dataset.

    >>> from features.project.running import project_at
    >>> resets = project_at("examples/logins").pipeline.by_topic["resets"]
    >>> JsonRows(fields_of(resets)).names
    ['reset_id', 'at', 'account_id', 'method']
    """

    def __init__(self, fields: type[msgspec.Struct] | SourceFields, chain: Chain | None = None) -> None:
        self._fields = fields if isinstance(fields, SourceFields) else _OwnFields(fields, chain)
        self.names = self._fields.names

    def table(self, messages: Sequence[Message]) -> pa.Table:
        """Return one row a record: offset, appended_ms, key, value and the readable fields."""
        values = [message.value() for message in messages]
        columns = _origin(messages) | {"value": pa.array(values, pa.binary())}
        return pa.table(columns | self._fields.columns(values))


class _OwnFields:
    """What makes columns of records that headrace itself writes.

    Of a decision's `keys` there is a column an entity of the chain, `key_ENTITY`.
    """

    def __init__(self, fields: type[msgspec.Struct], chain: Chain | None) -> None:
        self._has_model = issubclass(fields, RawPrediction)
        self._links = chain.links if chain and issubclass(fields, _Decided) else ()
        apart = {"keys": issubclass(fields, _Decided), "model": self._has_model}
        self.names = [name for name in fields.__struct_fields__ if not apart.get(name)]
        found = get_type_hints(fields, include_extras=True)
        self._types = {name: _type(found[name]) for name in self.names}
        self._empty = fields()
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(fields).decode

    def columns(self, values: list[bytes | None]) -> dict[str, pa.Array]:
        """Return the columns (n,) of n records by name."""
        read = [self._read(value) for value in values]
        columns = {
            name: pa.array(list(map(attrgetter(name), read)), self._types[name]) for name in self.names
        }
        for link in self._links:
            keys = [(row.keys or {}).get(link.name) for row in read]
            columns[key_column(link)] = pa.array(keys, pa.string())
        if self._has_model:
            models = [row.model for row in read]
            columns["model_name"] = pa.array([m and m.name for m in models], pa.string())
            columns["model_version"] = pa.array([m and m.version for m in models], pa.string())
        return columns

    def _read(self, value: bytes | None) -> Any:
        if value is None:
            return self._empty
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._empty


class DeadLetterRows:
    """Refused records: their bytes unchanged, and why and from where in columns."""

    def table(self, messages: Sequence[Message]) -> pa.Table:
        """Return one row a dead letter; copies of one letter differ only in their own offset."""
        headers = [{} if isinstance(h, Unreadable) else dict(h or ()) for h in headers_of(list(messages))]
        columns = _origin(messages)
        columns["value"] = pa.array([message.value() for message in messages], pa.binary())
        for name in ("code", "reason", "stage", "topic"):
            texts = [_text(header.get(DLQ_PREFIX + name)) for header in headers]
            columns["origin_topic" if name == "topic" else name] = pa.array(texts, pa.string())
        for name in ("partition", "offset", "timestamp"):
            numbers = [_number(header.get(DLQ_PREFIX + name)) for header in headers]
            columns["origin_" + name] = pa.array(numbers, pa.int64())
        return pa.table(columns)


def _origin(messages: Sequence[Message]) -> dict[str, pa.Array]:
    return {
        "offset": pa.array([message.offset() for message in messages], pa.int64()),
        "appended_ms": pa.array([message.timestamp()[1] for message in messages], pa.int64()),
        "key": pa.array([message.key() for message in messages], pa.binary()),
    }


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _number(value: str | bytes | None) -> int | None:
    text = _text(value) or ""
    return int(text) if _INTEGER.fullmatch(text) else None
