"""Contracts in force by the record's timestamp, and what is counted beside the verdict."""

import json

import msgspec

from contracts.raw import Headers, RawBatch
from contracts.terms import in_force
from contracts.verdict import judge, versions_of
from tests.corpus.make_records import GOOD, TRACE
from tests.corpus.records import TIMESTAMP_MS

FIRST = versions_of("transactions")[0]
SECOND = msgspec.structs.replace(
    FIRST,
    version="2.0.0",
    effective_from_ms=TIMESTAMP_MS,
    limits=msgspec.structs.replace(FIRST.limits, key_bytes_max=1) if FIRST.limits else None,
)
VALUE = json.dumps(GOOD).encode()


def test_the_newest_contract_in_force_judges() -> None:
    assert in_force((FIRST, SECOND), TIMESTAMP_MS - 1) is FIRST
    assert in_force((FIRST, SECOND), TIMESTAMP_MS) is SECOND
    assert in_force((FIRST, SECOND), 0) is None


def test_a_batch_may_span_a_change_of_contract() -> None:
    times = [TIMESTAMP_MS + 5, TIMESTAMP_MS - 5, -5, TIMESTAMP_MS - 4]
    batch = RawBatch.of((0, row, at, b"c1", VALUE, None) for row, at in enumerate(times))
    verdict = judge("transactions", batch, (FIRST, SECOND))
    assert verdict.good_index.tolist() == [1, 3]
    assert verdict.good["raw_offset"].tolist() == [1, 3]
    refused = [(r.row, r.code, r.contract_version) for r in verdict.bad]
    assert refused == [(0, "E_KEY_SIZE", "2.0.0"), (2, "E_TIME_RECORD", "1.0.0")]


def test_unknown_fields_and_forged_headers_are_counted() -> None:
    plain = json.dumps(GOOD | {"x": 1, "y": "z"}).encode()
    nested = json.dumps(GOOD | {"x": {"y": [1]}, "z": "é"}).encode()
    headers: Headers = [("headrace.x", b""), ("traceparent", TRACE), ("other", b"")]
    batch = RawBatch.of(
        [(0, 0, TIMESTAMP_MS, b"c1", plain, headers), (0, 1, TIMESTAMP_MS, b"c1", nested, None)]
    )
    verdict = judge("transactions", batch)
    assert (verdict.extra_fields, verdict.forged_headers) == (4, 1)
    assert verdict.good["traceparent"].tolist() == [TRACE, b""]


def test_nothing_personal_is_among_the_columns() -> None:
    value = json.dumps(
        GOOD | {"email": "canary@example.org", "ip": "10.9.8.7", "device_id": "canary-1"}
    ).encode()
    verdict = judge("transactions", RawBatch.of([(0, 0, TIMESTAMP_MS, b"c1", value, None)]))
    assert not {"email", "ip", "device_id"} & set(verdict.good)
    assert not any(b"canary" in column.tobytes() for column in verdict.good.values())


def test_an_empty_batch_is_judged_too() -> None:
    verdict = judge("labels", RawBatch.of([]))
    assert (len(verdict.good_index), verdict.bad) == (0, [])
