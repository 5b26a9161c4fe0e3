"""The lake is whole again behind a hole that somebody has accepted, and says what it lacks."""

from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from contracts.frame import position
from inference.offline.backfill.frontier import Frontier, facts_differing, frontier
from inference.offline.lake.known_losses import places_of, words
from inference.offline.lake.lake import Lake
from inference.offline.lake.sql import database
from load.this_project import PIPELINE, PROJECT
from runtime.input_record import Hole, InputRecord
from streams.archive.parquet_files import file_path, write_whole

COUNT = 30
BEGIN_MS = 1_600_000_000_000
LOST = range(10, 20)  # raw offsets without a row in the log


RECORD = {"appended_ms": pa.int64(), "key": pa.binary(), "value": pa.binary()}


def recorded(facts: dict[str, list[object]]) -> dict[str, list[object]]:
    """Return the bytes of raw records that say these facts."""
    names = [name for name in facts if name != "offset"]
    rows = zip(*(facts[name] for name in names), strict=True)
    values = [orjson.dumps({**dict(zip(names, row, strict=True)), "currency": "EUR"}) for row in rows]
    keys = [str(key).encode() for key in facts["customer_id"]]
    return {"appended_ms": list(facts["event_time"]), "key": list(keys), "value": list(values)}


def write(lake: Path, dataset: str, columns: dict[str, list[object]], kinds: dict[str, pa.DataType]) -> None:
    table = pa.table(
        {name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()}
    )
    write_whole(table, file_path(lake, dataset, 0, 0), 0, table.num_rows, [dataset])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake of one raw partition whose payments 10 to 19 never came out of the stream."""
    there = [number for number in range(COUNT) if number not in LOST]
    kinds = {"offset": pa.int64(), "event_time": pa.int64(), "amount_minor": pa.int64(),
             "raw_offset": pa.int64(), "raw_partition": pa.int32(), "appended_ms": pa.int64(),
             **places_of(PIPELINE)}  # fmt: skip

    def facts(numbers: list[int]) -> dict[str, list[object]]:
        return {
            "offset": list(numbers), "transaction_id": [f"t{n}" for n in numbers],
            "customer_id": [f"c{n % 3}" for n in numbers], "terminal_id": ["m1"] * len(numbers),
            "event_time": [BEGIN_MS + n for n in numbers], "amount_minor": [n + 1 for n in numbers],
        }  # fmt: skip

    raw = facts(list(range(COUNT)))
    write(tmp_path, "transactions", raw | recorded(raw), kinds | RECORD)
    places: dict[str, list[object]] = {
        "raw_partition": [0] * len(there), "raw_offset": list(there),
        "appended_ms": [BEGIN_MS + n for n in there],
        "customer_partition": [0] * len(there), "customer_pos": [position(n) for n in there],
        "terminal_partition": [0] * len(there), "terminal_pos": [position(n) for n in there],
    }  # fmt: skip
    write(tmp_path, "features", {**facts(there), **places}, kinds)
    return Lake(tmp_path, PROJECT)


def upto(offset: int) -> dict[str, dict[int, int]]:
    return {"transactions": {0: offset}, "labels": {}}


def seen(lake: Lake) -> Frontier:
    with database(lake.folder / ".spilled") as connection:
        return frontier(lake, connection)


def accept(lake: Lake, topic: str, reader: str, frm: int, to: int) -> None:
    hole = Hole(topic=topic, partition=0, frm=frm, to=to, reader=reader, at_ms=0)
    InputRecord(lake.folder).accept(hole, "ann", "INC-7")


def test_without_an_accepted_hole_the_lake_is_whole_up_to_what_is_missing(lake: Lake) -> None:
    assert seen(lake) == Frontier(upto(10), pending=10, lost=0)
    assert words(lake) == []


def test_behind_a_hole_of_the_gate_the_lake_is_whole_and_says_it(lake: Lake) -> None:
    accept(lake, "transactions", "gate", 10, 20)
    assert seen(lake) == Frontier(upto(COUNT), pending=0, lost=10)
    (line,) = words(lake)
    assert "transactions/0 [10, 20)" in line
    assert "accepted by ann: INC-7" in line


def test_a_hole_that_ends_sooner_excuses_no_more(lake: Lake) -> None:
    accept(lake, "transactions", "gate", 10, 15)
    assert seen(lake) == Frontier(upto(15), pending=5, lost=5)


@pytest.mark.parametrize(("src", "topic", "reader"), [
    ("transactions/0", "events.customer", "stage-customer"),
    ("events.customer/0", "events.terminal", "stage-terminal"),
    ("events.terminal/0", "features.log", "archive"),
])  # fmt: skip
def test_what_a_later_hole_held_is_known_by_its_neighbours(
    lake: Lake, src: str, topic: str, reader: str
) -> None:
    accept(lake, topic, reader, 3, 4)
    assert seen(lake).pending == 10  # nobody has said yet what was in it
    InputRecord(lake.folder).lost((src, position(10), position(20)), (topic, 0), reader)
    assert seen(lake) == Frontier(upto(COUNT), pending=0, lost=10)


def test_raw_records_that_were_never_archived_are_no_false_facts(lake: Lake) -> None:
    for path in (lake.folder / "transactions").rglob("*.parquet"):
        path.unlink()
    kinds = {"offset": pa.int64(), "event_time": pa.int64(), "amount_minor": pa.int64()}
    left = list(range(5, COUNT))
    raw: dict[str, list[object]] = {
        "offset": list(left), "transaction_id": [f"t{n}" for n in left],
        "customer_id": [f"c{n % 3}" for n in left], "terminal_id": ["m1"] * len(left),
        "event_time": [BEGIN_MS + n for n in left], "amount_minor": [n + 1 for n in left],
    }  # fmt: skip
    write(lake.folder, "transactions", raw | recorded(raw), kinds | RECORD)

    def differing() -> int:
        with database(lake.folder / ".spilled") as connection:
            return facts_differing(lake, connection)

    assert differing() == 5
    accept(lake, "transactions", "archive", 0, 5)
    assert differing() == 0
