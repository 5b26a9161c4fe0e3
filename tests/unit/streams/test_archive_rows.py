"""Raw records keep their bytes whatever they are; fields that can be read become columns."""

import orjson
import pytest

from contracts.contract_version import ContractField, ContractVersion
from contracts.pipeline import SourceStream
from load.this_project import CHAIN, PIPELINE
from streams.archive.rows import JsonRows, RawPrediction, fields_of
from tests.lake_maker import Record

GOOD = {"transaction_id": "t1", "customer_id": "c1", "terminal_id": "m1", "event_time": 5, "amount_minor": 7}


def one(value: bytes | None) -> dict[str, object]:
    table = JsonRows(fields_of(PIPELINE.scored)).table([Record(3, 9, b"c1", value)])  # type: ignore[list-item, arg-type]
    row: dict[str, object] = table.to_pylist()[0]
    return row


def test_a_good_record_is_found_by_its_fields() -> None:
    value = orjson.dumps(GOOD | {"email": "a@example.org"})
    row = one(value)
    assert row.items() >= (GOOD | {"offset": 3, "appended_ms": 9, "key": b"c1", "value": value}).items()


def test_personal_fields_get_no_column() -> None:
    assert not {"email", "ip", "device_id"} & set(one(orjson.dumps(GOOD)))


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"null", b"7", b"{" * 100_000, b"[" * 100_000,
        orjson.dumps(GOOD | {"amount_minor": "7"}), orjson.dumps(GOOD | {"event_time": 18446744073709551615}),
        b'{"event_time": 1e400}', b'{"transaction_id": "\\ud800"}', None,
    ],
)  # fmt: skip
def test_whatever_cannot_be_read_keeps_its_bytes_and_has_no_fields(value: bytes | None) -> None:
    row = one(value)
    assert row["value"] == value
    assert row["transaction_id"] is row["event_time"] is row["amount_minor"] is None


def test_a_prediction_is_found_by_its_model() -> None:
    value = orjson.dumps(
        {"prediction_id": "p", "score": 0.5, "model": {"name": "fraud", "version": "1", "stage": "x"}}
    )
    table = JsonRows(RawPrediction, CHAIN).table([Record(0, 1, b"", value)])  # type: ignore[list-item]
    assert table["model_name"].to_pylist() == ["fraud"]
    assert table["score"].to_pylist() == [0.5]


def test_a_decisions_keys_are_columns_and_a_key_that_is_missing_is_null() -> None:
    said = [{"event_id": "t1", "keys": {"customer": "c1", "terminal": None}}, {"event_id": "t2"}, {"keys": 5}]
    records = [Record(at, 1, b"", orjson.dumps(one)) for at, one in enumerate(said)]
    table = JsonRows(RawPrediction, CHAIN).table(records)  # type: ignore[arg-type]
    assert table["event_id"].to_pylist() == ["t1", "t2", None]
    assert table["key_customer"].to_pylist() == ["c1", None, None]
    assert table["key_terminal"].to_pylist() == [None, None, None]


def contract(*fields: ContractField) -> SourceStream:
    version = ContractVersion(
        topic="rides", contract="rides", version="1", schema="Ride", effective_from_ms=0, fields=fields
    )
    return SourceStream(number=1, name="rides", role="scored", versions=(version,), time="at")


RIDES = contract(
    ContractField(name="ride_id", path=("ride", "id"), type="string", required=True, enum=("r1",)),
    ContractField(name="at", path=("at",), type="time", required=True, time_format="iso8601", zone="+02:00"),
    ContractField(name="paid", path=("at_s",), type="time", required=False, time_format="epoch_s"),
    ContractField(name="fare", path=("ride", "fare"), type="decimal", required=True, scale=2, low=0, high=10),
    ContractField(name="tip", path=("tip",), type="decimal", required=False, scale=1, quoted=True),
    ContractField(name="speed", path=("speed",), type="number", required=False),
    ContractField(name="shared", path=("shared",), type="boolean", required=False),
    ContractField(name="rider", path=("rider",), type="string", required=True, personal=True),
    ContractField(name="stops", path=("stops",), type="other", required=False, shape="list"),
)


@pytest.mark.parametrize(
    ("value", "due"),
    [
        (
            b'{"ride":{"id":"else","fare":-123456789012.25},"at":"1970-01-01T02:00:01","at_s":5,"tip":"1e1",'
            b'"speed":1.5,"shared":true,"rider":"x","stops":[1]}',
            ("else", 1000, 5000, -12345678901225, 100, 1.5, 1),
        ),
        (b'{"ride":null,"at":"1970-01-01T00:00:00z","tip":null,"shared":null}', (None, 0, *[None] * 5)),
        (b'{"ride":{"id":"","fare":0.125},"at":"yesterday","tip":"much"}', ("", *[None] * 6)),
        (b'{"ride":{"id":"r1","fare":9},"at":5}', (None,) * 7),
        (b"{", (None,) * 7),
    ],
)
def test_fields_of_any_contract_are_read_where_they_are_as_the_gate_reads_them(
    value: bytes, due: tuple[object, ...]
) -> None:
    table = JsonRows(fields_of(RIDES)).table([Record(3, 9, b"c1", value)])  # type: ignore[list-item]
    row = table.to_pylist()[0]
    assert row["value"] == value
    assert tuple(row[name] for name in ("ride_id", "at", "paid", "fare", "tip", "speed", "shared")) == due
    assert not {"rider", "stops"} & set(row)
