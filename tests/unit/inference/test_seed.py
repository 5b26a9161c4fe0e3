"""A lake that begins with a seed says what one run that never ended would have said, bit for bit."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import StateError
from contracts.keys import key_of
from features.seeded import FOLDER, Seeded, SeedOrigin, state_file
from features.state import EntityState
from inference.offline.backfill.executors import Processes
from inference.offline.backfill.run import Options, Report, backfill, states
from inference.offline.backfill.seed import add_definitions, make_seed
from inference.offline.lake.beginning import beginning, remembered, seeded_states, sha256_of
from inference.offline.lake.lake import FixedLake, Lake
from inference.offline.lake.seed_note import finished_seed, write_note
from inference.offline.verify.verify import verify
from load.this_project import CUSTOMER, ENTITIES, PROJECT, TERMINAL
from tests.lake_maker import PARTITIONS
from tests.seed_lakes import BEGIN_MS, DAY_MS, cut_lakes, sparse_events

OPTIONS = Options(compare=True, rows_a_task=700, memory_mb=128)
ALONE = Processes(1)
EVERY_ROW = 1_000_000
CUTS_MS = (BEGIN_MS + 45 * DAY_MS, BEGIN_MS + 70 * DAY_MS)


def silent(_: str) -> None:
    """Say nothing."""


def seeded(old: Lake, new: Lake, partitions: int = PARTITIONS) -> Seeded:
    """Seed a lake, and finish the note as the command does."""
    made = make_seed(
        FixedLake(old.folder, PROJECT),
        new.folder,
        SeedOrigin(lake=str(old.folder)),
        partitions,
        OPTIONS,
        ALONE,
        silent,
    )
    done = msgspec.structs.replace(made, finished=True)
    write_note(new.folder, done)
    return done


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> list[Lake]:
    """Lakes of three runs, each seeded from the one before."""
    home = tmp_path_factory.mktemp("chain")
    lakes = cut_lakes([home / name for name in "abc"], *sparse_events(seed=3), CUTS_MS)
    for old, new in itertools.pairwise(lakes):
        seeded(old, new)
    return lakes


@pytest.fixture
def copied(chain: list[Lake], tmp_path: Path) -> list[Lake]:
    """The first two of one's own, to damage."""
    return [
        Lake(Path(shutil.copytree(lake.folder, tmp_path / lake.folder.name)), PROJECT) for lake in chain[:2]
    ]


def compared(lake: Lake) -> Report:
    return backfill(lake, ENTITIES, OPTIONS, ALONE, silent)


@pytest.mark.parametrize("run", [1, 2])
def test_every_row_after_the_seed_is_that_of_an_uninterrupted_run(chain: list[Lake], run: int) -> None:
    report = compared(chain[run])
    assert report.mismatches == 0
    assert report.records_pending == 0
    assert all(part.rows > 500 for part in report.entities.values())
    found = verify(FixedLake(chain[run].folder, PROJECT), None, epoch=1, rows_min=EVERY_ROW)
    assert found.mismatches == 0
    assert found.entities["customer"].rows == report.entities["customer"].rows
    sample = verify(FixedLake(chain[run].folder, PROJECT), None, epoch=1, rows_min=300)
    assert sample.mismatches == 0


def test_the_test_reaches_forgotten_keys_and_late_rows(chain: list[Lake]) -> None:
    forgotten = [
        seeded_states(chain[1], entity, partition)["state"].null_count
        for entity in ENTITIES
        for partition in range(PARTITIONS)
    ]
    assert sum(forgotten) > 10
    seeds = [seeded_states(chain[1], CUSTOMER, partition) for partition in range(PARTITIONS)]
    gone = {
        key for table in seeds for key, state in zip(*table.to_pydict().values(), strict=True) if not state
    }
    again = {name.encode() for name in chain[1].read("features", ["customer_id"])["customer_id"].to_pylist()}
    assert len(gone & again) >= 3
    log = chain[1].read("features", ["late"])
    assert {1, 2, 3} & set(log["late"].to_pylist())


def test_without_its_seed_the_same_lake_differs(copied: list[Lake]) -> None:
    shutil.rmtree(copied[1].folder / FOLDER)
    assert compared(copied[1]).mismatches > 500


def damaged(lake: Lake, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the busiest customers' seed, and forge its digest."""
    seed = finished_seed(lake.folder)
    assert seed is not None
    name = state_file(CUSTOMER, 1)
    path = lake.folder / FOLDER / name
    pq.write_table(change(pq.ParquetFile(path).read()), path)
    write_note(
        lake.folder, msgspec.structs.replace(seed, files={**seed.files, name: sha256_of(path)})
    )  # fmt: skip


def without_one(table: pa.Table) -> pa.Table:
    """Return the table without the state of its busiest key."""
    sizes = [len(blob or b"") for blob in table["state"].to_pylist()]
    at = int(np.argmax(sizes))
    return pa.concat_tables([table.slice(0, at), table.slice(at + 1)])


def with_one_payment_more(table: pa.Table) -> pa.Table:
    """Return the table with one payment of a cent folded into its busiest key."""
    keys, blobs = table["key"].to_pylist(), table["state"].to_pylist()
    at = int(np.argmax([len(blob or b"") for blob in blobs]))
    state = EntityState(CUSTOMER)
    state.load([keys[at]], [blobs[at]])
    rows = {
        "pos": np.zeros(1, np.int64), "customer_id": np.array([keys[at]]),
        "terminal_id": np.array([b"m1"]), "event_time": state.latest().as_of_ms,
        "amount_minor": np.ones(1, np.int64),
    }  # fmt: skip
    state.apply(rows, 1)
    blobs[at] = state.export(np.array([keys[at]]))[0]
    return table.set_column(1, "state", pa.array(blobs, pa.binary()))


@pytest.mark.parametrize("change", [without_one, with_one_payment_more])
def test_a_fault_planted_in_the_seed_is_found(
    copied: list[Lake], change: Callable[[pa.Table], pa.Table]
) -> None:
    damaged(copied[1], change)
    report = compared(copied[1])
    assert report.mismatches > 0
    assert report.entities["customer"].wrong == report.mismatches
    assert verify(FixedLake(copied[1].folder, PROJECT), None, epoch=1, rows_min=EVERY_ROW).mismatches > 0


def test_a_changed_file_of_the_seed_is_refused(copied: list[Lake]) -> None:
    path = copied[1].folder / FOLDER / state_file(TERMINAL, 0)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StateError, match="E_SEED_FILE"):
        beginning(copied[1], TERMINAL, 0)


def test_a_seed_under_other_definitions_is_refused_until_this_code_adds_its_own(copied: list[Lake]) -> None:
    old, new = copied
    seed = finished_seed(new.folder)
    assert seed is not None
    shutil.rmtree(new.folder / FOLDER / "customer")
    others = {name: digest for name, digest in seed.files.items() if not name.startswith("customer/")}
    foreign = {**seed.definitions, "customer": ["00" * 16]}
    write_note(new.folder, msgspec.structs.replace(seed, files=others, definitions=foreign))
    with pytest.raises(StateError, match="E_SEED_DEFINITIONS"):
        compared(new)
    found = finished_seed(new.folder)
    assert found is not None
    more = add_definitions(
        FixedLake(old.folder, PROJECT), new.folder, found, seed.source, OPTIONS, ALONE, silent
    )
    assert more.files == seed.files
    assert compared(new).mismatches == 0


def test_the_hand_over_begins_with_the_seed_where_no_row_has_come_yet(chain: list[Lake]) -> None:
    nothing = dict.fromkeys(range(PARTITIONS), 0)
    for entity in ENTITIES:
        with states(chain[1], entity, nothing, OPTIONS, ALONE, silent) as made:
            assert made.rows == 0
            for partition in range(PARTITIONS):
                again = pq.ParquetFile(made.folder / f"{partition}.parquet").read()
                first = seeded_states(chain[1], entity, partition)
                assert again.sort_by("key").equals(first.sort_by("key"))


def test_an_unfinished_seed_is_refused(copied: list[Lake]) -> None:
    seed = finished_seed(copied[1].folder)
    assert seed is not None
    write_note(copied[1].folder, msgspec.structs.replace(seed, finished=False))
    with pytest.raises(StateError, match="E_SEED_UNFINISHED"):
        compared(copied[1])


def test_a_lake_with_payments_under_way_is_refused(copied: list[Lake], tmp_path: Path) -> None:
    path = sorted((copied[0].folder / "features").glob("partition=*/*.parquet"))[0]
    whole = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([whole.slice(0, 7), whole.slice(8)]), path)
    with pytest.raises(StateError, match=r"E_SEED_UNDER_WAY: 1 records"):
        seeded(copied[0], Lake(tmp_path / "new", PROJECT))


def test_a_lake_with_labels_under_way_is_refused(copied: list[Lake], tmp_path: Path) -> None:
    path = sorted((copied[0].folder / "label_log").glob("partition=*/*.parquet"))[0]
    whole = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([whole.slice(0, 7), whole.slice(9)]), path)
    with pytest.raises(StateError, match=r"E_SEED_UNDER_WAY: 2 records"):
        seeded(copied[0], Lake(tmp_path / "new", PROJECT))


def test_another_number_of_partitions_is_refused(copied: list[Lake], tmp_path: Path) -> None:
    with pytest.raises(StateError, match="E_SEED_PARTITIONS"):
        seeded(copied[0], Lake(tmp_path / "new", PROJECT), partitions=2)


def test_an_empty_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="E_LAKE_EMPTY"):
        seeded(Lake(tmp_path / "old", PROJECT), Lake(tmp_path / "new", PROJECT))


def test_the_ids_of_the_last_day_are_remembered(chain: list[Lake]) -> None:
    payments, _, came = sparse_events(seed=3)
    ids, before = key_of(payments, ("customer_id", "transaction_id")), came["appended_ms"] < CUTS_MS[0]
    kept = remembered(chain[1])
    newest = int(payments["event_time"][before].max())
    certain = before & (payments["event_time"] > newest - 12 * DAY_MS // 24)
    assert set(ids[certain].astype(str)) <= set(kept["event_id"].to_pylist())
    assert kept.num_rows < before.sum() / 10
