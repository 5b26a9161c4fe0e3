"""The gate's verdict: which records keep their contract, as columns, and why the others do not.

A pure function of each record's bytes and timestamp and of the contract and the key of personal fields in
force at that timestamp: no clock, no memory, no neighbour has a say, so judging a record again, in another
batch, gives the same answer. Replays and take-overs rest on that.

Two paths reach one verdict. The fast path decodes a batch with typed decoders and accepts a record only
when cheap tests (`suspicion`) show that the strict path would accept it too; every other record takes the
strict path (`strict_verdict`), which alone decides on codes.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.contract_version import ContractVersion, in_force
from contracts.document import Refused
from contracts.event_columns import AcceptedRows, ColumnMaker, joined, part_of
from contracts.frame import Columns
from contracts.hashed_fields import HashKeys
from contracts.header_check import HeadersRead, read_headers
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.strict_verdict import Accepted, Given, Rejection, judge_strictly
from contracts.suspicion import FastReader, FastRows

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


class _JudgedRows(NamedTuple):
    """Rows that were judged: what the good ones say, what the headers of some say, and who was refused."""

    part: AcceptedRows
    heads: dict[int, HeadersRead]
    bad: list[Rejection]
    extra_fields: int


class _Reader(NamedTuple):
    """What a source's records are read with: a fast reader a version."""

    columns: ColumnMaker
    by_version: dict[ContractVersion, FastReader]


@cache
def _reader(source: SourceStream) -> _Reader:
    names = frozenset(source.names)
    return _Reader(ColumnMaker(source), {version: FastReader(version, names) for version in source.versions})


def judge(source: SourceStream, batch: RawBatch, keys: HashKeys | None = None) -> Verdict:
    """Judge raw records of a source.

    Args:
        keys: those of personal fields; None is enough for a source that has none that leave the gate.

    Raises:
        ConfigError: E_HASH_KEY_NONE, the source needs keys.

    >>> from features.project.running import project_at
    >>> resets = project_at("examples/logins").pipeline.by_topic["resets"]
    >>> value = b'{"reset_id":"r1","at":"2023-11-14T22:13:20Z","account":{"id":"a1"},"method":"sms"}'
    >>> at = 1_700_000_000_100
    >>> records = [(0, 5, at, None, value, None), (0, 6, at, None, b"{", None)]
    >>> verdict = judge(resets, RawBatch.of(records))
    >>> verdict.good["account_id"], verdict.bad[0].code
    (array([b'a1'], dtype='|S2'), 'E_DECODE_JSON')
    """
    whole = _judged(source, batch)
    part, good = whole.part, whole.part.rows.tolist()
    origin = batch if len(good) == len(batch.offsets) else batch.pick(good)
    heads = [whole.heads.get(row, NO_HEADERS) for row in good] if whole.heads else []
    traces = [head.traceparent for head in heads] or [""] * len(good)
    return Verdict(
        _reader(source).columns.columns(part, origin, traces, keys),
        part.rows,
        whole.bad,
        whole.extra_fields,
        sum(head.forged for head in heads),
    )


def refused_of(source: SourceStream, batch: RawBatch) -> list[Rejection]:
    """Return which records of a source are refused; no key is needed for that."""
    return _judged(source, batch).bad


def _judged(source: SourceStream, batch: RawBatch) -> _JudgedRows:
    oldest, parts = source.versions[0], list(_by_version(source.versions, batch.timestamps_ms))
    if len(parts) == 1:
        return _judge_part(source, parts[0][0], oldest, batch)
    judged = [(rows, _judge_part(source, version, oldest, batch.pick(rows))) for version, rows in parts]
    return _JudgedRows(
        joined(
            source, [one.part._replace(rows=np.array(rows, np.int64)[one.part.rows]) for rows, one in judged]
        ),
        {rows[number]: head for rows, one in judged for number, head in one.heads.items()},
        sorted(bad._replace(row=rows[bad.row]) for rows, one in judged for bad in one.bad),
        sum(one.extra_fields for _, one in judged),
    )


def _by_version(
    versions: tuple[ContractVersion, ...], timestamps_ms: list[int]
) -> Iterator[tuple[ContractVersion | None, list[int]]]:
    """Yield the row numbers that each version judges; None judges records older than any."""
    if not timestamps_ms or min(timestamps_ms) >= versions[-1].effective_from_ms:
        yield versions[-1], []
        return
    rows: dict[ContractVersion | None, list[int]] = {}
    for row, timestamp_ms in enumerate(timestamps_ms):
        rows.setdefault(in_force(versions, timestamp_ms), []).append(row)
    yield from rows.items()


def _judge_part(
    source: SourceStream, version: ContractVersion | None, oldest: ContractVersion, batch: RawBatch
) -> _JudgedRows:
    """Judge rows that one version judges: decode all, then read strictly what is not plainly good."""
    heads, extra = dict[int, HeadersRead](), 0
    if version is None or not batch.offsets:
        fast = FastRows((), {}, set(range(len(batch.offsets))), set())
    else:
        reader = _reader(source).by_version[version]
        fast = reader.read(batch)
        if any(batch.headers):
            heads = _heads(batch, version)
            fast.strict.update(
                row for row, headers in enumerate(batch.headers) if headers and row not in heads
            )
        for row in fast.wide - fast.strict:
            more = reader.extra_fields(batch.values[row] or b"")
            fast.strict.update(() if more is not None else (row,))
            extra += more or 0
    good, bad = _read_strictly(batch, version, oldest, sorted(fast.strict))
    extra += sum(accepted.extra_fields for accepted in good.values())
    part = part_of(source, fast, {row: accepted.values for row, accepted in good.items()})
    return _JudgedRows(part, heads, bad, extra)


def _read_strictly(
    batch: RawBatch, version: ContractVersion | None, oldest: ContractVersion, rows: Sequence[int]
) -> tuple[dict[int, Accepted], list[Rejection]]:
    good: dict[int, Accepted] = {}
    bad: list[Rejection] = []
    for row in rows:
        given = Given(batch.timestamps_ms[row], batch.keys[row], batch.values[row], batch.headers[row])
        judged = judge_strictly(given, version, oldest, row)
        if isinstance(judged, Rejection):
            bad.append(judged)
        else:
            good[row] = judged
    return good, bad


def _heads(batch: RawBatch, version: ContractVersion) -> dict[int, HeadersRead]:
    """Return what the headers of the rows that have any say; rows whose headers are refused are left out."""
    heads: dict[int, HeadersRead] = {}
    for row, headers in enumerate(batch.headers):
        if headers:
            with suppress(Refused):
                heads[row] = read_headers(headers, version.limits)
    return heads
