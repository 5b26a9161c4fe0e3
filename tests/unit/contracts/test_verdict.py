"""Contracts in force by the record's timestamp, and what is counted beside the verdict."""

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from contracts.contract_version import ContractField, in_force
from contracts.pipeline import SourceStream
from contracts.raw import Headers, RawBatch
from contracts.verdict import judge
from load.this_project import PIPELINE
from tests.corpus.make_records import GOOD, TRACE
from tests.corpus.records import TIMESTAMP_MS

FIRST = PIPELINE.by_topic["transactions"].versions[0]
SECOND = msgspec.structs.replace(
    FIRST,
    version="2.0.0",
    effective_from_ms=TIMESTAMP_MS,
    limits=msgspec.structs.replace(FIRST.limits, key_bytes_max=1),
)
VALUE = json.dumps(GOOD).encode()


def test_the_newest_contract_in_force_judges() -> None:
    assert in_force((FIRST, SECOND), TIMESTAMP_MS - 1) is FIRST
    assert in_force((FIRST, SECOND), TIMESTAMP_MS) is SECOND
    assert in_force((FIRST, SECOND), 0) is None


def test_a_batch_may_span_a_change_of_contract() -> None:
    times = [TIMESTAMP_MS + 5, TIMESTAMP_MS - 5, -5, TIMESTAMP_MS - 4]
    batch = RawBatch.of((0, row, at, b"c1", VALUE, None) for row, at in enumerate(times))
    verdict = judge(dataclasses.replace(PIPELINE.scored, versions=(FIRST, SECOND)), batch)
    assert verdict.good_index.tolist() == [1, 3]
    assert verdict.good["raw_offset"].tolist() == [1, 3]
    refused = [(r.row, r.code, r.contract_version) for r in verdict.bad]
    assert refused == [(0, "E_KEY_SIZE", "2.0.0"), (2, "E_TIME_RECORD", "1.1.0")]


@pytest.mark.parametrize("text", [{"low": 0, "high": 5_000}, {"enum": ("", "c1")}])
def test_an_empty_key_is_refused_where_the_contract_takes_an_empty_text(text: dict[str, Any]) -> None:
    fields = tuple(
        msgspec.structs.replace(field, **text) if field.name == FIRST.key_field else field
        for field in FIRST.fields
    )
    source = dataclasses.replace(PIPELINE.scored, versions=(msgspec.structs.replace(FIRST, fields=fields),))
    values = [json.dumps(GOOD | {FIRST.key_field: name}).encode() for name in ("", "c1")]
    records = [(0, row, TIMESTAMP_MS, (b"", b"c1")[row], value, None) for row, value in enumerate(values)]
    verdict = judge(source, RawBatch.of(records))
    assert [(refused.row, refused.code) for refused in verdict.bad] == [(0, "E_KEY_EMPTY")]
    assert verdict.good_index.tolist() == [1]


def test_what_is_no_object_is_no_way_to_a_field_that_may_be_absent() -> None:
    def field(name: str, path: tuple[str, ...], required: bool) -> ContractField:
        return ContractField(name=name, path=path, type="other", required=required)

    version = msgspec.structs.replace(
        FIRST, key_field="", id_fields=(), event_time="", deduplicate_ms=0,
        fields=(field("client", ("client",), True), field("device", ("client", "device"), False)),
    )  # fmt: skip
    source = SourceStream(number=1, name="s", role="scored", versions=(version,), time="")
    values = [b'{"client":0}', b'{"client":{}}', b'{"client":{"device":{"os":"x"}}}']
    verdict = judge(source, RawBatch.of((0, row, TIMESTAMP_MS, b"", v, None) for row, v in enumerate(values)))
    assert [(refused.row, refused.code) for refused in verdict.bad] == [(0, "E_CONTRACT_TYPE")]
    assert verdict.good_index.tolist() == [1, 2]


def test_unknown_fields_and_forged_headers_are_counted() -> None:
    plain = json.dumps(GOOD | {"x": 1, "y": "z"}).encode()
    nested = json.dumps(GOOD | {"x": {"y": [1]}, "z": "é"}).encode()
    headers: Headers = [("headrace.x", b""), ("traceparent", TRACE), ("other", b"")]
    batch = RawBatch.of(
        [(0, 0, TIMESTAMP_MS, b"c1", plain, headers), (0, 1, TIMESTAMP_MS, b"c1", nested, None)]
    )
    verdict = judge(PIPELINE.scored, batch)
    assert (verdict.extra_fields, verdict.forged_headers) == (4, 1)
    assert verdict.good["traceparent"].tolist() == [TRACE, b""]


def test_nothing_personal_is_among_the_columns() -> None:
    value = json.dumps(
        GOOD | {"email": "canary@example.org", "ip": "10.9.8.7", "device_id": "canary-1"}
    ).encode()
    verdict = judge(PIPELINE.scored, RawBatch.of([(0, 0, TIMESTAMP_MS, b"c1", value, None)]))
    assert not {"email", "ip", "device_id"} & set(verdict.good)
    assert not any(b"canary" in column.tobytes() for column in verdict.good.values())


def test_an_empty_batch_is_judged_too() -> None:
    verdict = judge(PIPELINE.labels[0], RawBatch.of([]))
    assert (len(verdict.good_index), verdict.bad) == (0, [])


@pytest.mark.parametrize(
    ("key", "customer", "behind_key", "behind"),
    [
        (b"a\0b", "a", b"c", "b\\u0000c"),
        (b"a\0b\0c", "a", b"", "b\\u0000c"),
        (b"a", "a\\u0000b", b"b\0c", "c"),
    ],
)
def test_what_is_said_of_a_record_does_not_depend_on_the_record_behind_it(
    key: bytes, customer: str, behind_key: bytes, behind: str
) -> None:
    """A NUL inside a key or an id must not be read as the end of it."""
    document = (
        '{"transaction_id":"%s","event_time":1700000000000,"customer_id":"%s","terminal_id":"m1",'
        '"amount_minor":100,"currency":"EUR"}'
    )
    at = 1_700_000_000_100
    records = [
        (0, 0, at, key, (document % ("t1", customer)).encode(), None),
        (0, 1, at, behind_key, (document % ("t2", behind)).encode(), None),
    ]
    together = judge(PIPELINE.scored, RawBatch.of(records))
    alone = [judge(PIPELINE.scored, RawBatch.of([record])) for record in records]
    assert [bad.code for bad in together.bad] == [bad.code for one in alone for bad in one.bad]
    assert len(together.good_index) == sum(len(one.good_index) for one in alone) == 0
