"""Raw records keep their bytes whatever they are; fields that can be read become columns."""

import orjson
import pytest

from streams.archive.rows import JsonRows, RawPrediction, RawTransaction
from tests.lake_maker import Record

GOOD = {"transaction_id": "t1", "customer_id": "c1", "terminal_id": "m1", "event_time": 5, "amount_minor": 7}


def one(value: bytes | None) -> dict[str, object]:
    table = JsonRows(RawTransaction).table([Record(3, 9, b"c1", value)])  # type: ignore[list-item, arg-type]
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
    table = JsonRows(RawPrediction).table([Record(0, 1, b"", value)])  # type: ignore[list-item]
    assert table["model_name"].to_pylist() == ["fraud"]
    assert table["score"].to_pylist() == [0.5]
