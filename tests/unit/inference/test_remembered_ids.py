"""What a lake says of the ids of the last day is what the customer stage remembered, id by id."""

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Message

from contracts.content_hash import content_hash, hashed_fields
from contracts.frame import Columns, length, strings, take
from contracts.keys import key_of
from contracts.topics import DAY_MS
from features.project.running import running_project
from inference.offline.backfill.frontier import frontier
from inference.offline.backfill.remembered_ids import remembered_ids
from inference.offline.lake.lake import FixedLake, Lake
from inference.offline.lake.sql import database
from inference.offline.verify.verify import verify
from load.this_project import PIPELINE, PROJECT
from streams.archive.parquet_files import file_path, write_whole
from streams.archive.rows import DeadLetterRows, JsonRows, fields_of
from streams.stage.deduplication import Arrivals, Deduplication, chunks_of
from tests.lake_maker import PARTITIONS, Record, _placed, make_lake
from tests.logins_lake import logins_lake, logins_with_horizons
from tests.project_lake import PARTITIONS as LOGINS_PARTITIONS
from tests.seed_lakes import BEGIN_MS, cut_lakes
from tests.unit.inference.test_seed import seeded

TEXTS = {"currency": b"EUR", "channel": b"", "country": b""}


def letter(at: int, value: bytes, place: tuple[int, int]) -> Message:
    """Return the dead letter of a record in conflict, at an offset of its topic."""
    facts = {"code": "E_DUP_CONFLICT", "partition": place[0], "offset": place[1]}
    headers = [(f"headrace.dlq.{name}", str(fact).encode()) for name, fact in facts.items()]
    return Message(offset=at, key=b"", value=value, headers=headers, timestamp=(2, 0))


def payments(count: int, seed: int) -> Columns:
    """Return payments of two days; every tenth id comes a second time, half of those with other content.

    A repeat of another content may be ahead of all before it.
    """
    chance = np.random.default_rng(seed)
    when = np.sort(chance.integers(BEGIN_MS, BEGIN_MS + 2 * DAY_MS, count))
    numbers = np.arange(count)
    again = np.flatnonzero((numbers > 10) & (chance.random(count) < 0.1))
    first = again - chance.integers(1, 10, len(again))
    numbers[again] = numbers[first]
    rows: Columns = {
        "transaction_id": strings([f"t{i}" for i in numbers.tolist()]),
        "customer_id": strings([f"c{i % 40}" for i in numbers.tolist()]),
        "terminal_id": strings([f"m{i % 17}" for i in numbers.tolist()]),
        "event_time": when.copy(), "amount_minor": 100 + numbers % 50,
    }  # fmt: skip
    rows["event_time"][again] = rows["event_time"][first]
    other = again[::2]
    rows["event_time"][other] = when[other] + chance.integers(0, DAY_MS // 8, len(other))
    return rows


def hashes(rows: Columns) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    texts = {name: np.full(length(rows), text) for name, text in TEXTS.items()}
    return content_hash({**rows, **texts}, hashed_fields(PIPELINE.scored))


def judged(rows: Columns) -> tuple[list[Deduplication], np.ndarray[tuple[int], np.dtype[np.int8]]]:
    """Return what a stage's partitions remember of all rows, and by row 0 first, 1 repeat, 2 conflict."""
    placed, content = _placed(rows, "customer_id", rows["event_time"]), hashes(rows)
    seen = [Deduplication() for _ in range(PARTITIONS)]
    told = np.zeros(length(rows), np.int8)
    for number, mine in enumerate(seen):
        which = np.flatnonzero(placed["raw_partition"] == number)
        part = take(rows, which)
        verdict = mine.check(
            Arrivals(
                part["customer_id"], key_of(part, PIPELINE.scored.ids), content[which], part["event_time"]
            )
        )
        told[which] = verdict.repeat + 2 * verdict.conflict
    return seen, told


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose raw payments have repeats and conflicts, as the archive would have written it."""
    folder = tmp_path_factory.mktemp("ids") / "lake"
    rows = payments(4_000, seed=5)
    _, told = judged(rows)
    firsts = take(rows, told == 0)
    labels = take(
        {**firsts, "label": np.zeros(length(firsts), np.uint8), "label_time": firsts["event_time"]}, []
    )
    make_lake(folder, firsts, labels)
    places = _placed(rows, "customer_id", rows["event_time"])
    rewrite_raw(folder, places, told)
    return Lake(folder, PROJECT)


def rewrite_raw(folder: Path, placed: Columns, told: np.ndarray[tuple[int], np.dtype[np.int8]]) -> None:
    """Put all payments into the raw dataset, the log's rows at those places, conflicts in dead letters."""
    for partition in range(PARTITIONS):
        which = np.flatnonzero(placed["raw_partition"] == partition)
        records = [
            Record(at, int(placed["event_time"][row]), placed["customer_id"][row].item(), text(placed, row))
            for at, row in enumerate(which.tolist())
        ]
        path = file_path(folder, "transactions", partition, 0)
        write_whole(JsonRows(fields_of(PIPELINE.scored)).table(records), path, 0, len(records))  # type: ignore[arg-type]
        letters = [
            letter(at, text(placed, row), (partition, int(placed["raw_offset"][row])))
            for at, row in enumerate(which[told[which] == 2].tolist())
        ]
        path = file_path(folder, "transactions_dlq", partition, 0)
        write_whole(DeadLetterRows().table(letters), path, 0, len(letters))  # type: ignore[arg-type]
    firsts = np.flatnonzero(told == 0)
    by_id = dict(
        zip(placed["transaction_id"][firsts].tolist(), placed["raw_offset"][firsts].tolist(), strict=True)
    )
    for path in (folder / "features").rglob("[0-9]*.parquet"):
        table, about = pq.ParquetFile(path).read(), dict(pq.read_metadata(path).metadata)
        del about[b"ARROW:schema"]
        offsets = np.array([by_id[name.encode()] for name in table["transaction_id"].to_pylist()])
        for name, column in (("raw_offset", offsets), ("customer_pos", offsets << 20)):
            table = table.set_column(table.column_names.index(name), name, pa.array(column))
        pq.write_table(table.replace_schema_metadata(about), path)


def text(rows: Columns, row: int) -> bytes:
    names = ("transaction_id", "customer_id", "terminal_id", "event_time", "amount_minor")
    values = {name: rows[name][row].item() for name in names}
    said = {name: v.decode() if isinstance(v, bytes) else v for name, v in values.items()}
    return orjson.dumps(said | {"currency": "EUR"})


def test_the_lake_remembers_what_the_stage_did(lake: Lake, tmp_path: Path) -> None:
    rows = payments(4_000, seed=5)
    seen, told = judged(rows)
    assert (told == 1).sum() > 100
    assert (told == 2).sum() > 100
    chance = np.random.default_rng(1)
    asked = chance.integers(0, 4_000, 3_000)
    found = dict(remembered_ids(lake, tmp_path / "spilled", PARTITIONS))
    for partition, stage in enumerate(seen):
        ids, clock = found[partition]
        assert clock == stage.clock.pack()
        ours = Deduplication()
        names = [strings(ids[name].to_pylist()) for name in ("key", "event_id")]
        kept = Arrivals(names[0], names[1], ids["content_hash"].to_numpy(), ids["arrival_ms"].to_numpy())
        ours.load(chunks_of(kept), clock)
        assert 0 < ids.num_rows < 0.8 * (told == 0).sum() / PARTITIONS
        some = take(rows, asked)
        content = hashes(some)
        content[::7] += np.uint64(1)
        moments = stage.clock.now_ms + chance.integers(0, DAY_MS, len(asked))
        more = Arrivals(some["customer_id"], key_of(some, PIPELINE.scored.ids), content, moments)
        for a, b in zip(ours.check(more), stage.check(more), strict=True):
            assert a.tolist() == b.tolist()


def test_a_repeat_across_the_cut_is_answered_by_the_seed(tmp_path: Path) -> None:
    rows = payments(2_000, seed=6)
    rows["transaction_id"] = strings([f"t{i}" for i in range(2_000)])
    rows["event_time"] = np.sort(rows["event_time"])
    came = {"appended_ms": rows["event_time"].copy()}
    none = np.zeros(2_000, np.bool_)
    labels = take({**rows, "label": none.astype(np.uint8), "label_time": rows["event_time"]}, none)
    cut_ms = (BEGIN_MS + DAY_MS) // 900_000 * 900_000
    old, new = cut_lakes([tmp_path / "a", tmp_path / "b"], rows, labels, came, [cut_ms])
    repeated = np.flatnonzero(rows["event_time"] < cut_ms)[-1:]
    mine = int(
        _placed(take(rows, repeated), "customer_id", cut_ms * np.ones(1, np.int64))["raw_partition"][0]
    )
    first = new.read("transactions", ["offset"])
    at = int((first["partition"].to_numpy() == mine).sum())
    again = int(repeated[0])
    record = Record(at, cut_ms, rows["customer_id"][again].item(), text(rows, again))
    write_whole(
        JsonRows(fields_of(PIPELINE.scored)).table([record]),  # type: ignore[arg-type]
        file_path(new.folder, "transactions", mine, at), at, at + 1,
    )  # fmt: skip
    with database(tmp_path / "spilled") as connection:
        assert frontier(new, connection).pending == 1
    seeded(old, new)
    with database(tmp_path / "spilled") as connection:
        assert frontier(new, connection).pending == 0
    assert verify(FixedLake(new.folder, PROJECT), None, epoch=1, rows_min=10_000).mismatches == 0


def test_ids_of_every_source_are_remembered_as_its_own_for_as_long_as_its_contract_says(
    tmp_path: Path,
) -> None:
    horizons_ms = {"logins": 3_600_000, "resets": 30 * DAY_MS}
    project = running_project(logins_with_horizons(tmp_path / "logins", horizons_ms))
    lake, horizons, found = logins_lake(tmp_path / "lake", project), project.pipeline.horizons_ms, 0
    (number,) = (source.number for source in project.pipeline.sources if source.name == "resets")
    resets = set(lake.read("resets_log")["reset_id"].to_pylist())
    for _, (ids, clock) in remembered_ids(lake, tmp_path / "spilled", LOGINS_PARTITIONS):
        source, arrival_ms = ids["source"].to_numpy().astype(np.int64), ids["arrival_ms"].to_numpy()
        kept = Arrivals(
            strings(ids["key"].to_pylist()), strings(ids["event_id"].to_pylist()),
            ids["content_hash"].to_numpy(), arrival_ms,
        )  # fmt: skip
        seen = Deduplication(horizons)
        seen.load(chunks_of(kept, source, horizons), clock)
        assert (arrival_ms[source == 1] >= seen.clock.now_ms - 3_600_000).all()
        assert seen.check(kept, source).repeat.all()
        assert seen.check(kept, 1 + number - source).first.all()
        found += len(resets & set(np.array(ids["event_id"].to_pylist())[source == number].tolist()))
    assert found == len(resets) > 5
