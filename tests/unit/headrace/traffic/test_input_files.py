"""Files as people have them: what can only mean one thing is understood, the rest is refused by name."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import ConfigError
from contracts.raw import RawBatch
from contracts.verdict import judge
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import open_records
from load.this_project import PIPELINE

PAYMENTS = forms_of(PIPELINE)["transactions"]
AT_MS = 1_700_000_000_000
MOMENTS = [dt.datetime(2023, 11, 14, 22, 13, 20 + i) for i in range(5)]


def opened(tmp_path: Path, **columns: Any) -> Any:
    """Return the first five records of a file with these columns."""
    plain: dict[str, Any] = {
        "transaction_id": [f"t{i}" for i in range(5)], "event_time": [AT_MS + i * 1000 for i in range(5)],
        "customer_id": ["c"] * 5, "terminal_id": ["m"] * 5, "amount_minor": [100] * 5,
        "currency": ["EUR"] * 5,
    }  # fmt: skip
    path = tmp_path / "payments.parquet"
    pq.write_table(pa.table(plain | columns), path)
    return open_records(path, PAYMENTS)


@pytest.mark.parametrize(
    ("columns", "name", "expected"),
    [
        ({"customer_id": [1, 2, 3, 4, 5]}, "customer_id", "1"),
        ({"customer_id": [1.0, None, 3.0, 4.0, 5.0]}, "customer_id", "1"),
        ({"terminal_id": pa.array([9] * 5, pa.uint16())}, "terminal_id", "9"),
        ({"amount_minor": [100.0, None, 1.0, 2.0, 3.0]}, "amount_minor", 100),
        ({"amount_minor": [100.0, float("nan"), 1.0, 2.0, 3.0]}, "amount_minor", 100),
        ({"event_time": pa.array(MOMENTS, pa.timestamp("ns"))}, "event_time", AT_MS),
        ({"event_time": pa.array(MOMENTS, pa.timestamp("us", "UTC"))}, "event_time", AT_MS),
        ({"event_time": [float(AT_MS)] * 5}, "event_time", AT_MS),
        ({"currency": pa.array(["EUR"] * 5).dictionary_encode()}, "currency", "EUR"),
        ({"customer_id": pa.array(["c"] * 5).dictionary_encode()}, "customer_id", "c"),
        ({"customer_id": pa.array(["c"] * 5, pa.large_string())}, "customer_id", "c"),
    ],
)
def test_a_column_that_can_only_mean_one_thing_is_understood(
    tmp_path: Path, columns: dict[str, Any], name: str, expected: Any
) -> None:
    records = opened(tmp_path, **columns).slice(0, 5)
    assert orjson.loads(records[0][1])[name] == expected
    batch = RawBatch.of((0, at, AT_MS + 5000, key, value, None) for at, (key, value) in enumerate(records))
    refused = {row.row for row in judge(PIPELINE.scored, batch).bad}
    assert refused <= {1}, "only the row that lacks the value is refused"


@pytest.mark.parametrize(
    "columns",
    [
        {"amount_minor": pa.array([Decimal("1.00")] * 5)},
        {"amount_minor": [1.5] * 5},
        {"amount_minor": ["100"] * 5},
        {"event_time": [str(AT_MS)] * 5},
        {"event_time": pa.array([dt.date(2023, 11, 14)] * 5)},
        {"customer_id": [["c"]] * 5},
        {"customer_id": [1.5] * 5},
        {"terminal_id": [b"m"] * 5},
    ],
)
def test_a_column_that_could_mean_several_things_is_refused_by_name(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as refused:
        opened(tmp_path, **columns)
    assert refused.value.code in ("E_INPUT_TYPE", "E_INPUT_FIELDS")
    assert next(iter(columns)) in str(refused.value)


def test_a_row_without_a_time_goes_with_the_row_before_it(tmp_path: Path) -> None:
    records = opened(tmp_path, event_time=pa.array([AT_MS, None, AT_MS, AT_MS, AT_MS], pa.int64()))
    assert records.moment_ms.tolist() == [AT_MS] * 5
    assert "event_time" not in orjson.loads(records.slice(1, 2)[0][1])


def test_a_broken_line_is_refused_for_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lines.ndjson"
    path.write_bytes(b'{"transaction_id":"t1"\n[1]\n{"customer_id":7}\n{"transaction_id":"t2"}\n\xff\xfe\n')
    records = open_records(path, PAYMENTS).slice(0, 5)
    batch = RawBatch.of((0, at, AT_MS, key, value, None) for at, (key, value) in enumerate(records))
    codes = [row.code for row in judge(PIPELINE.scored, batch).bad]
    assert codes[:2] == ["E_DECODE_JSON", "E_DECODE_NOT_OBJECT"]
    assert codes[2] == "E_CONTRACT_MISSING" or codes[2] == "E_CONTRACT_TYPE"
    assert codes[3] == "E_CONTRACT_MISSING"
    assert codes[4] in ("E_DECODE_UTF8", "E_DECODE_JSON")
    assert [key for key, _ in records] == [b"line-1", b"line-2", b"7", b"line-4", b"line-5"]


@pytest.mark.parametrize("name", ["customer_id", "terminal_id", "currency"])
def test_text_that_is_not_utf8_is_a_damaged_file(tmp_path: Path, name: str) -> None:
    damaged = pa.Array.from_buffers(pa.string(), 5, pa.array([b"c\xff"] * 5, pa.binary()).buffers())
    with pytest.raises(ConfigError) as refused:
        opened(tmp_path, **{name: damaged})
    assert refused.value.code == "E_INPUT_DAMAGED"
