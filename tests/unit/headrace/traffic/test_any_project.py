"""Files of a project's own sources, nested, with other times and context: what goes out, in which order."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.contract_version import ContractField
from contracts.errors import ConfigError
from contracts.raw import RawBatch
from contracts.verdict import refused_of
from features.project.running import running_project
from headrace.traffic.columns import as_contract
from headrace.traffic.form import Form, form_of, forms_of
from headrace.traffic.input_files import LineRecords, Record, TableRecords, open_records
from headrace.traffic.named_files import files_by_form
from headrace.traffic.replay import OutgoingRecords, Replay

FOLDER = Path(__file__).resolve().parents[4] / "examples" / "logins"
LOGINS = running_project(FOLDER).pipeline
FORMS = forms_of(LOGINS)
NOW_MS = 1_800_000_000_000


def login(number: int, **more: Any) -> dict[str, Any]:
    client = {"ip": "192.0.2.7", "channel": "web"}
    at = f"2025-01-01T00:{number // 60:02}:{number % 60:02}.000Z"
    row = {"login_id": f"l{number}", "at": at, "account": {"id": f"a{number % 3}"}, "client": client}
    return row | {"result": "ok"} | more


def lines(rows: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def documents(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for _, value in records]


def refused(form: Form, records: list[Record]) -> list[str]:
    batch = RawBatch.of((0, row, NOW_MS, key, value, None) for row, (key, value) in enumerate(records))
    return [one.code for one in refused_of(form.source, batch)]


def test_a_table_of_documents_and_its_lines_are_the_same_records(tmp_path: Path) -> None:
    rows = [login(0), login(1, client={"ip": "192.0.2.7", "channel": "app", "device_id": "d1"})]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "logins.parquet")
    table = open_records(tmp_path / "logins.parquet", FORMS["logins"])
    read = LineRecords(lines(rows), FORMS["logins"])
    assert documents(table.slice(0, 2)) == rows == documents(read.slice(0, 2))
    assert [key for key, _ in table.slice(0, 2)] == [b"a0", b"a1"]
    assert table.ids() == read.ids() == ["l0", "l1"]
    assert table.moment_ms.tolist() == read.moment_ms.tolist() == [1_735_689_600_000, 1_735_689_601_000]
    assert refused(FORMS["logins"], table.slice(0, 2)) == []


def test_a_flat_table_in_the_contracts_names_is_put_where_the_fields_stand() -> None:
    moments = [dt.datetime(2025, 1, 1, 0, 0, second, tzinfo=dt.UTC) for second in range(2)]
    table = pa.table({
        "login_id": [1, 2], "at": pa.array(moments, pa.timestamp("us", "UTC")), "account_id": ["a0", "a1"],
        "ip": ["192.0.2.7"] * 2, "channel": pa.array(["web", "web"]).dictionary_encode(),
        "result": ["ok", "ok"], "device_id": ["d", None],
    })  # fmt: skip
    records = TableRecords(table, FORMS["logins"])
    first, second = documents(records.slice(0, 2))
    assert first["client"] == {"ip": "192.0.2.7", "channel": "web", "device_id": "d"}
    assert (second["account"], second["at"]) == ({"id": "a1"}, "2025-01-01T00:00:01.000Z")
    assert "device_id" not in second["client"]
    assert refused(FORMS["logins"], records.slice(0, 2)) == []


def test_a_field_that_stands_twice_is_refused() -> None:
    table = pa.table({"ip": ["x"], "client": [{"ip": "y"}]})
    with pytest.raises(ConfigError, match=r"E_INPUT_FIELDS.*two columns are ip"):
        as_contract(table, FORMS["logins"])


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ([Decimal("12.50"), None], ["12.50", None]),
        ([7, None], ["7", None]),
        ([12.5, float("nan")], ["12.5", None]),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_decimal_keeps_its_digits(column: list[Any], written: list[str | None], quoted: bool) -> None:
    form = FORMS["logins"]
    price = ContractField(
        name="price", path=("cart", "price"), type="decimal", required=False, scale=2, quoted=quoted
    )
    newest = form.source.versions[-1]
    version = msgspec.structs.replace(newest, fields=(*newest.fields, price))
    source = type(form.source)(
        number=1, name="logins", role="scored", versions=(version,), time="at", ids=("login_id",)
    )
    ids = {"login_id": ["l1", "l2"], "account_id": ["a", "a"], "at": ["2025-01-01T00:00:00Z"] * 2}
    rows = TableRecords(pa.table(ids | {"price": column}), Form(source, form.key, form.ids)).slice(0, 2)
    token = written[0] if not quoted else f'"{written[0]}"'
    assert f'"cart":{{"price":{token}}}'.encode() in (rows[0][1] or b"")
    assert b"price" not in (rows[1][1] or b"")


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("at", [5]),
        ("account_id", [[1]]),
        ("result", [True]),
        ("login_id", [1.5]),
    ],
)
def test_a_column_that_is_not_the_contracts_is_refused_by_name(name: str, column: list[Any]) -> None:
    with pytest.raises(ConfigError) as found:
        as_contract(pa.table({name: column}), FORMS["logins"])
    assert (found.value.code, found.value.where) == ("E_INPUT_TYPE", name)


class Log:
    """Keeps what was sent, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send(self, topic: str, records: list[Record]) -> None:
        self.sent += [(topic, json.loads(value or b"")["n"]) for _, value in records]

    def poll(self) -> None:
        pass


def test_context_goes_between_the_records_that_it_lies_between() -> None:
    def going(name: str, seconds: list[int]) -> OutgoingRecords:
        rows = [login(second, n=f"{name[0]}{second}") for second in seconds]
        return OutgoingRecords(
            name=name, topic=name, records=LineRecords(lines(rows), FORMS["logins"]),
            is_labels=name == "labels",
        )  # fmt: skip

    log = Log()
    others = [going("resets", [0, 3, 5, 9, 10]), going("clicks", [3, 8]), going("labels", [1, 4, 20])]
    replay = Replay(log, going("logins", [1, 3, 4, 9]), others)  # type: ignore[arg-type]
    replay.rush(0, 4, 2, None)
    assert [name for _, name in log.sent] == [
        "r0", "l1", "r3", "c3", "l3", "l1", "l4", "r5", "c8", "r9", "l9", "l4",
    ]  # fmt: skip
    assert [topic for topic, name in log.sent if name in ("l1", "l4")] == [
        "logins", "labels", "logins", "labels",
    ]  # fmt: skip
    assert replay.sent == {"logins": 4, "resets": 4, "clicks": 2, "labels": 2}


def test_files_are_named_by_their_source(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.parquet"
    odd.touch()
    named = files_by_form(LOGINS, [str(odd), "resets=r.ndjson"], Path("t.ndjson"))
    assert {form.name: path.name for form, path in named.items()} == {
        "logins": "a=b.parquet", "resets": "r.ndjson", "takeovers": "t.ndjson",
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"E_INPUT_SOURCE.*did you mean resets"):
        files_by_form(LOGINS, ["reset=r.ndjson"])
    with pytest.raises(ConfigError, match="two files are of logins"):
        files_by_form(LOGINS, ["a.parquet", "logins=b.parquet"])


def test_a_source_is_found_by_its_topic_too() -> None:
    form = FORMS["takeovers"]
    assert form_of(FORMS, form.source.topic) is form
