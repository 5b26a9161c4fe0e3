"""Decoded events to the columns of EVENT and LABEL frames."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from contracts.content_hash import content_hash
from contracts.frame import ROW_BITS, Columns, Kind
from contracts.raw import RawBatch
from contracts.text_column import text_column

FRAUD = 1


def transaction_columns(events: list[Any], origin: RawBatch, traces: list[str]) -> Columns:
    """Return the columns of an EVENT frame: n accepted payments, their raw records and trace contexts."""
    rows = _origin_columns(origin)
    rows["transaction_id"] = text_column([e.transaction_id for e in events])
    rows["customer_id"] = text_column([e.customer_id for e in events])
    rows["terminal_id"] = text_column([e.terminal_id for e in events])
    rows["event_time"] = _integers(events, "event_time")
    rows["amount_minor"] = _integers(events, "amount_minor")
    rows["currency"] = text_column([e.currency for e in events])
    rows["channel"] = text_column(_optional([e.channel for e in events]))
    rows["country"] = text_column(_optional([e.country for e in events]))
    rows["content_hash"] = content_hash(rows)
    rows["traceparent"] = text_column(traces)
    return rows


def label_columns(events: list[Any], origin: RawBatch, traces: list[str]) -> Columns:
    """Return the columns of a LABEL frame; `label` is 1 for fraud. Labels carry no trace context."""
    rows = _origin_columns(origin)
    rows["transaction_id"] = text_column([e.transaction_id for e in events])
    rows["customer_id"] = text_column([e.customer_id for e in events])
    rows["terminal_id"] = text_column([e.terminal_id for e in events])
    rows["label"] = np.array([e.label == "fraud" for e in events], np.uint8) * np.uint8(FRAUD)
    rows["event_time"] = _integers(events, "event_time")
    rows["label_time"] = _integers(events, "label_time")
    rows["source"] = text_column([e.source for e in events])
    return rows


Builder = Callable[[list[Any], RawBatch, list[str]], Columns]
KINDS: dict[str, tuple[Kind, Builder]] = {
    "transactions": (Kind.EVENT, transaction_columns),
    "labels": (Kind.LABEL, label_columns),
}


def _origin_columns(origin: RawBatch) -> Columns:
    offsets = np.array(origin.offsets, np.int64)
    return {
        "pos": offsets << ROW_BITS,
        "raw_partition": np.array(origin.partitions, np.int32),
        "raw_offset": offsets,
        "appended_ms": np.array(origin.timestamps_ms, np.int64),
    }


def _integers(events: list[Any], name: str) -> NDArray[np.int64]:
    return np.fromiter(map(attrgetter(name), events), np.int64, len(events))


def _optional(values: list[Any]) -> list[str]:
    if values.count(UNSET) == len(values):
        return [""] * len(values)
    return ["" if value is UNSET or value is None else value for value in values]
