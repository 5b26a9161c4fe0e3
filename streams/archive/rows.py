"""Records of the JSON topics as columns: what arrived, byte for byte, and the fields that can be read.

The raw bytes are kept whatever they are. Fields are read leniently and only to find rows by them; the
gate alone says what is valid. Personal fields stay inside the raw bytes and get no column.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from confluent_kafka import Message

DLQ_PREFIX = "headrace.dlq."
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]  # JSON has no bound, Arrow has


class _Lenient(msgspec.Struct, kw_only=True, gc=False):
    """Fields shared by transactions and labels; absent or ill-typed means null."""

    transaction_id: str | None = None
    customer_id: str | None = None
    terminal_id: str | None = None
    event_time: Int64 | None = None


class RawTransaction(_Lenient, kw_only=True, gc=False):
    """What a transaction is found by."""

    amount_minor: Int64 | None = None
    currency: str | None = None
    channel: str | None = None
    country: str | None = None


class RawLabel(_Lenient, kw_only=True, gc=False):
    """What a label is found by."""

    label: str | None = None
    label_time: Int64 | None = None
    source: str | None = None


class _Model(msgspec.Struct, kw_only=True, gc=False):
    name: str | None = None
    version: str | None = None


class RawPrediction(_Lenient, kw_only=True, gc=False):
    """What a prediction is found by."""

    prediction_id: str | None = None
    scored_at: Int64 | None = None
    score: float | None = None
    risk_band: str | None = None
    decision: str | None = None
    decided_by: str | None = None
    model: _Model | None = None


class RawReview(_Lenient, kw_only=True, gc=False):
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
    transaction_id: str | None = None
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


_TYPES: dict[str, pa.DataType] = {
    "event_time": pa.int64(), "label_time": pa.int64(), "scored_at": pa.int64(), "amount_minor": pa.int64(),
    "opened_at": pa.int64(), "decided_at": pa.int64(), "score": pa.float64(), "at": pa.int64(),
    "window_days": pa.int64(),
}  # fmt: skip


class JsonRows:
    """Turns records of one topic into the columns of its dataset.

    >>> JsonRows(RawLabel).names
    ['transaction_id', 'customer_id', 'terminal_id', 'event_time', 'label', 'label_time', 'source']
    """

    def __init__(self, fields: type[msgspec.Struct]) -> None:
        self.names = [name for name in fields.__struct_fields__ if name != "model"]
        self._has_model = "model" in fields.__struct_fields__
        self._empty = fields()
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(fields).decode

    def table(self, messages: Sequence[Message]) -> pa.Table:
        """Return one row a record: offset, appended_ms, key, value and the readable fields."""
        values = [message.value() for message in messages]
        read = [self._read(value) for value in values]
        columns = _origin(messages) | {"value": pa.array(values, pa.binary())}
        for name in self.names:
            column = list(map(attrgetter(name), read))
            columns[name] = pa.array(column, _TYPES.get(name, pa.string()))
        if self._has_model:
            models = [row.model for row in read]
            columns["model_name"] = pa.array([m and m.name for m in models], pa.string())
            columns["model_version"] = pa.array([m and m.version for m in models], pa.string())
        return pa.table(columns)

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
        headers = [dict(message.headers() or ()) for message in messages]
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
    return int(text) if text.lstrip("-").isdecimal() else None
