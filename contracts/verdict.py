"""The gate's verdict: which records keep their contract, as columns, and why the others do not.

A pure function of each record's bytes and timestamp and of the contract in force at that timestamp: no
clock, no memory, no neighbour has a say, so judging a record again, in another batch, gives the same
answer. Replays and take-overs rest on that.

Two paths reach one verdict. The fast path decodes a batch with typed decoders and accepts a record only
when cheap tests (`suspicion`) show that the strict path would accept it too; every other record takes the
strict path (`strict_verdict`), which alone decides on codes.
"""

from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.document import Refused
from contracts.event_columns import KINDS
from contracts.events import TERMS
from contracts.frame import Columns
from contracts.header_check import HeadersRead, read_headers
from contracts.raw import RawBatch
from contracts.strict_verdict import Given, Rejection, judge_strictly, limits_of
from contracts.suspicion import extra_fields, suspects
from contracts.terms import Terms, in_force

_NOT_DECODED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError)
NO_HEADERS = HeadersRead("", 0)


class Verdict(NamedTuple):
    """A judged batch.

    Args:
        good: columns of the accepted records, in batch order, ready for a frame of the topic's kind.
        good_index: shape (n,), their numbers in the batch.
        bad: the refused records, in batch order.
        extra_fields: how many unknown fields accepted records carried.
        forged_headers: how many headers with our reserved prefix were ignored.
    """

    good: Columns
    good_index: NDArray[np.int64]
    bad: list[Rejection]
    extra_fields: int
    forged_headers: int


class _Part(NamedTuple):
    """Judged rows: an event each, or None with a rejection in `bad`; what the headers of some rows say."""

    events: list[Any]
    heads: dict[int, HeadersRead]
    bad: list[Rejection]
    extra_fields: int


@cache
def versions_of(topic: str) -> tuple[Terms, ...]:
    """Return the contracts of an input topic, oldest first."""
    return tuple(terms for terms in TERMS if terms.topic == topic)


def judge(topic: str, batch: RawBatch, versions: tuple[Terms, ...] | None = None) -> Verdict:
    """Judge raw records of `transactions` or `labels` (the topic's name without a run's prefix).

    >>> value = b'{"transaction_id":"t1","event_time":1700000000000,"customer_id":"c1",'
    >>> value += b'"terminal_id":"m1","amount_minor":100,"currency":"EUR"}'
    >>> at = 1_700_000_000_100
    >>> records = [(0, 5, at, b"c1", value, None), (0, 6, at, b"c1", b"{", None)]
    >>> verdict = judge("transactions", RawBatch.of(records))
    >>> verdict.good["amount_minor"], verdict.bad[0].code
    (array([100]), 'E_DECODE_JSON')
    """
    contracts = versions or versions_of(topic)
    parts = list(_by_contract(contracts, batch.timestamps_ms))
    if len(parts) == 1:
        whole = _judge_part(parts[0][0], contracts[0], batch)
    else:
        whole = _judge_mixed(parts, contracts[0], batch)
    events, origin, index = whole.events, batch, np.arange(len(whole.events))
    if whole.bad:
        good = [i for i, event in enumerate(whole.events) if event is not None]
        events, origin, index = [whole.events[i] for i in good], batch.pick(good), np.array(good, np.int64)
    heads = [whole.heads.get(row, NO_HEADERS) for row in index.tolist()] if whole.heads else []
    _, columns = KINDS[topic]
    return Verdict(
        columns(events, origin, [head.traceparent for head in heads] or [""] * len(index)),
        index,
        whole.bad,
        whole.extra_fields,
        sum(head.forged for head in heads),
    )


def _by_contract(
    contracts: tuple[Terms, ...], timestamps_ms: list[int]
) -> list[tuple[Terms | None, list[int]]]:
    """Return the row numbers that each contract judges; None judges records older than any contract."""
    if not timestamps_ms or min(timestamps_ms) >= contracts[-1].effective_from_ms:
        return [(contracts[-1], [])]
    rows: dict[Terms | None, list[int]] = {}
    for row, timestamp_ms in enumerate(timestamps_ms):
        rows.setdefault(in_force(contracts, timestamp_ms), []).append(row)
    return list(rows.items())


def _judge_mixed(parts: list[tuple[Terms | None, list[int]]], oldest: Terms, batch: RawBatch) -> _Part:
    events: list[Any] = [None] * len(batch.offsets)
    heads: dict[int, HeadersRead] = {}
    bad: list[Rejection] = []
    extra = 0
    for terms, rows in parts:
        part = _judge_part(terms, oldest, batch.pick(rows))
        for row, event in zip(rows, part.events, strict=True):
            events[row] = event
        heads |= {rows[number]: head for number, head in part.heads.items()}
        bad += [rejection._replace(row=rows[rejection.row]) for rejection in part.bad]
        extra += part.extra_fields
    return _Part(events, heads, sorted(bad), extra)


def _judge_part(terms: Terms | None, oldest: Terms, batch: RawBatch) -> _Part:
    """Judge rows that one contract judges: decode all, then read strictly what is not plainly good."""
    events: list[Any] = [None] * len(batch.offsets)
    heads: dict[int, HeadersRead] = {}
    extra = 0
    if terms is None or not events:
        strict = set(range(len(events)))
    else:
        events = _decode(terms, batch.values)
        found = suspects(terms, limits_of(terms), batch, events)
        strict = found.strict
        if any(batch.headers):
            heads = _heads(batch, terms)
            strict |= {row for row, headers in enumerate(batch.headers) if headers and row not in heads}
        for row in found.wide - strict:
            more = extra_fields(batch.values[row] or b"", terms, limits_of(terms))
            strict.update(() if more is not None else (row,))
            extra += more or 0
    bad: list[Rejection] = []
    for row in sorted(strict):
        given = Given(batch.timestamps_ms[row], batch.keys[row], batch.values[row], batch.headers[row])
        judged = judge_strictly(given, terms, oldest, row)
        if isinstance(judged, Rejection):
            events[row] = None
            bad.append(judged)
        else:
            events[row] = judged.event
            extra += judged.extra_fields
    return _Part(events, heads, bad, extra)


@cache
def _decoder(struct: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(struct)


def _decode(terms: Terms, values: list[bytes | None]) -> list[Any]:
    """Return an event a value, None where the typed decoder refuses it."""
    decode = _decoder(terms.struct).decode
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


def _heads(batch: RawBatch, terms: Terms) -> dict[int, HeadersRead]:
    """Return what the headers of the rows that have any say; rows whose headers are refused are left out."""
    heads: dict[int, HeadersRead] = {}
    limits = limits_of(terms)
    for row, headers in enumerate(batch.headers):
        if headers:
            with suppress(Refused):
                heads[row] = read_headers(headers, limits)
    return heads
