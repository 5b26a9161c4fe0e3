"""An import is bit-equal to a stream of the same order, and in the order of time to a slow recomputation."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import StateError
from contracts.frame import Columns, take
from contracts.verdict import judge
from features.project.load import run_file
from features.project.running import RunningProject, running_project
from features.seeded import IMPORTED, Seeded, SeedOrigin
from headrace.importing import run as importing
from headrace.importing.chain import ImportChain
from headrace.importing.history import history_files
from headrace.importing.lake import ImportedLake
from headrace.importing.order import Block, InRank, blocks
from headrace.seed import Into
from inference.offline.backfill.executors import Processes
from inference.offline.backfill.run import Options, backfill
from inference.offline.backfill.seed import Ended, make_seed, write_seed
from inference.offline.lake.lake import FixedLake, Lake
from inference.offline.lake.raw_records import raw_batch
from inference.offline.lake.seed_note import read_seed
from inference.offline.verify.verify import verify
from load.chaos.collect import declared
from streams.stage.settings import StageSettings
from tests.import_oracle import Expected, compared
from tests.logins_lake import LOGINS, sent_logins
from tests.project_lake import KEYS, make_project_lake

AT_MS = 1_767_225_600_000  # 2026-01-01, after all that the generator makes
PARTITIONS = 3
OPTIONS = Options(compare=True, rows_a_task=5_000, memory_mb=128)
Rows = dict[str, list[dict[str, Any]]]


def silent(_: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def logins() -> RunningProject:
    return running_project(LOGINS)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Records of three weeks in no order, with a repeat, a conflict and bad ones among them."""
    generator = run_file(LOGINS / "generate.py")
    made: Rows = generator.generate(generator.Plan(accounts=25, days=21, attacks_a_day=4.0))
    chance = np.random.default_rng(4)
    for name, some in made.items():
        made[name] = [some[at] for at in chance.permutation(len(some)).tolist()]
    made["logins"].insert(40, dict(made["logins"][7]))
    made["logins"].insert(
        90, {**made["logins"][9], "result": "ok" if made["logins"][9]["result"] != "ok" else "failed"}
    )
    made["resets"].insert(2, {**made["resets"][1], "method": "pigeon"})
    return made


def written(folder: Path, rows: Rows) -> list[str]:
    """Write the rows as somebody's files: logins in two, with a broken line; return what they are called."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(rows["logins"]) // 2
    files = {
        "logins=a.ndjson": rows["logins"][:half], "logins=b.ndjson": rows["logins"][half:],
        "resets=resets.ndjson": rows["resets"], "takeovers=takeovers.ndjson": rows["takeovers"],
    }  # fmt: skip
    for name, some in files.items():
        lines = [json.dumps(row) for row in some]
        if name == "logins=b.ndjson":
            lines.insert(3, '{"login_id": "broken"')
        (folder / name.partition("=")[2]).write_text("\n".join(lines))
    return [name.replace("=", f"={folder}/") for name in files]


def into(folder: Path, project: RunningProject) -> Into:
    settings = StageSettings(
        kafka=KafkaConnection(bootstrap_servers="-"), redis=RedisConnection(host="-", port=9),
        data_folder=folder, partitions=PARTITIONS, lake=folder,
    )  # fmt: skip
    return Into(project, Lake(folder, project), settings)


def made_lake(folder: Path, project: RunningProject, files: Sequence[str]) -> importing.Making:
    """Import without servers: everything but changelogs, store and offsets."""
    chosen = history_files(project.pipeline, files)
    return importing.make_lake(chosen, into(folder, project), KEYS, AT_MS, silent, rows_a_block=500)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> list[str]:
    return written(tmp_path_factory.mktemp("files"), rows)


@pytest.fixture(scope="module")
def imported(
    tmp_path_factory: pytest.TempPathFactory, logins: RunningProject, given: list[str]
) -> tuple[Lake, importing.Making]:
    folder = tmp_path_factory.mktemp("run") / "lake"
    making = made_lake(folder, logins, given)
    return Lake(folder / IMPORTED, logins), making


@pytest.fixture(scope="module")
def expected(logins: RunningProject, given: list[str]) -> Expected:
    told = declared(logins, epoch=1, partitions=PARTITIONS)
    secrets = [(key.from_ms, key.secret.hex()) for key in KEYS.versions]
    found = Expected(msgspec.structs.replace(told, secrets=secrets))
    records: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
    for text in given:
        name, _, path = text.partition("=")
        records.setdefault(name, []).extend((None, line) for line in Path(path).read_bytes().splitlines())
    found.imported(records, AT_MS)
    return found


def test_in_the_order_of_time_every_row_is_that_of_a_slow_recomputation(
    imported: tuple[Lake, importing.Making], expected: Expected
) -> None:
    lake, making = imported
    found = compared(lake, expected)
    assert found.wrong == []
    assert found.rows == sum(making.told.rows.values()) > 1_500
    assert len(expected.repeats) == making.told.repeats["logins"] == 1
    refused = {
        (name, code): count for name, codes in making.told.refused.items() for code, count in codes.items()
    }
    assert refused == {
        ("logins", "E_DECODE_JSON"): 1, ("logins", "E_DUP_CONFLICT"): 1, ("resets", "E_CONTRACT_ENUM"): 1
    }  # fmt: skip
    assert sorted(expected.refused.values()) == ["E_CONTRACT_ENUM", "E_DECODE_JSON"]
    assert len(expected.conflicts) == 1


def dropped(block: Block) -> Block:
    """Return a block without its fourth login."""
    return [
        (
            number,
            {name: np.delete(column, 3, axis=0) for name, column in rows.items()} if number == 1 else rows,
        )
        for number, rows in block
    ]


def swapped(block: Block) -> Block:
    """Return a block in which two rows of an account have changed places."""
    (number, rows), *others = block
    accounts = rows["account_id"].tolist()
    second = next(at for at in range(1, len(accounts)) if accounts[at] in accounts[:at])
    first = accounts.index(accounts[second])
    pos = rows["pos"].copy()
    pos[[first, second]] = pos[[second, first]]
    order = np.argsort(pos)
    return [(number, {**{n: c[order] for n, c in rows.items()}, "pos": pos[order]}), *others]


@pytest.mark.parametrize("fault", [dropped, swapped])
def test_a_row_dropped_or_two_swapped_on_the_way_are_found(
    fault: Callable[[Block], Block], logins: RunningProject, given: list[str], expected: Expected,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    take, calls = ImportChain.take, iter(range(1_000))
    monkeypatch.setattr(
        ImportChain, "take", lambda self, block: take(self, fault(block) if next(calls) == 1 else block)
    )
    made_lake(tmp_path, logins, given)
    assert compared(Lake(tmp_path / IMPORTED, logins), expected).wrong


def test_what_was_refused_is_kept_with_its_file_and_row(imported: tuple[Lake, importing.Making]) -> None:
    lake, _ = imported
    letters = lake.read("logins_dlq").to_pylist()
    broken = next(one for one in letters if one["code"] == "E_DECODE_JSON")
    assert broken["value"] == b'{"login_id": "broken"'
    assert (Path(broken["file"]).name, broken["row"], broken["stage"]) == ("b.ndjson", 4, "gate")
    raw = lake.at("logins", 0, broken["origin_offset"])
    assert raw is not None
    assert raw["value"] == broken["value"]


def test_an_import_that_dies_before_its_lake_is_whole_leaves_nothing_that_is_read(
    logins: RunningProject, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_: ImportedLake) -> None:
        raise MemoryError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(ImportedLake, "publish", dies)
        with pytest.raises(MemoryError):
            made_lake(tmp_path, logins, given)
    assert not (tmp_path / IMPORTED).exists()
    assert read_seed(tmp_path) is None
    making = made_lake(tmp_path, logins, given)
    assert (
        Lake(tmp_path / IMPORTED, logins).read("features", ["offset"]).num_rows == making.told.rows["logins"]
    )


def test_files_without_a_good_record_are_refused(logins: RunningProject, tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text("{}\n{")
    with pytest.raises(StateError, match=r"E_IMPORT_NOTHING: .* 1 logins E_DECODE_JSON"):
        made_lake(tmp_path / "lake", logins, [f"logins={tmp_path}/a.ndjson"])


def test_the_lake_of_an_import_is_whole_for_all_who_read_lakes(
    imported: tuple[Lake, importing.Making],
) -> None:
    lake, making = imported
    fixed = FixedLake(lake.folder, lake.project)
    report = backfill(fixed, lake.project.entities, OPTIONS, Processes(1), silent)
    assert (report.mismatches, report.records_pending) == (0, 0)
    assert {name: part.rows for name, part in report.entities.items()} == making.ended.rows
    verified = verify(fixed, None, epoch=1, rows_min=1_000_000)
    assert (verified.mismatches, verified.raw_unanswered) == (0, 0)


def seed_of(folder: Path, project: RunningProject, making: importing.Making) -> Seeded:
    """Write the seed of an import."""
    source = SeedOrigin(lake=str(folder))
    seed = Seeded(
        source=source,
        bounds=making.bounds,
        partitions=PARTITIONS,
        rows={},
        clocks={},
        definitions={},
        files={},
    )
    return write_seed(project, folder, seed, making.ended)


def test_the_seed_is_the_one_that_the_fold_over_its_lake_makes(
    imported: tuple[Lake, importing.Making], tmp_path: Path
) -> None:
    lake, making = imported
    ours = seed_of(tmp_path / "ours", lake.project, making)
    fixed = FixedLake(lake.folder, lake.project)
    theirs = make_seed(fixed, tmp_path / "theirs", ours.source, PARTITIONS, OPTIONS, Processes(1), silent)
    assert ours == theirs
    assert len(ours.files) == PARTITIONS * 4


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory, logins: RunningProject) -> FixedLake:
    """The lake of a stream over one partition, whose order is not that of time."""
    sent = sent_logins(accounts=20, days=15)
    chance = np.random.default_rng(1)
    late = {
        name: [one._replace(at_ms=one.at_ms + int(chance.integers(0, 10 * 3_600_000))) for one in some]
        for name, some in sent.items()
    }
    return make_project_lake(tmp_path_factory.mktemp("stream"), logins, late, partitions=1)


def test_fed_the_durable_order_of_a_stream_it_is_that_stream_bit_for_bit(
    streamed: FixedLake, logins: RunningProject, tmp_path: Path
) -> None:
    pipeline, chain = logins.pipeline, ImportChain(logins, partitions=1)
    order: list[tuple[int, int, int]] = []  # position, source, row of the log
    log = {source.number: streamed.read(pipeline.log_dataset(source)) for source in pipeline.sources}
    for number, table in log.items():
        order += [(pos, number, at) for at, pos in enumerate(table["account_pos"].to_pylist())]
    assert [pos for pos, *_ in sorted(order)] != [pos for pos, *_ in order]
    rank = {(number, at): place for place, (_, number, at) in enumerate(sorted(order))}
    ranked = [
        InRank(
            number, raw_rows(streamed, number), np.array([rank[number, at] for at in range(table.num_rows)])
        )
        for number, table in log.items()
    ]
    taken = [chain.take(block) for block in blocks(ranked, 300)]
    for number, table in log.items():
        rows = [rows for one in taken for rows in one.log[0].get(number, ())]
        for entity in logins.entities:
            name = f"{entity.name}_values"
            if any(name in part for part in rows):
                values = np.concatenate([part[name] for part in rows])
                logged = np.column_stack([table[column].to_numpy() for column in entity.columns])
                assert np.array_equal(values.view(np.uint64), logged.view(np.uint64))
    ended = Ended(chain.states(), chain.remembered(), chain.rows)
    theirs = make_seed(streamed, tmp_path / "theirs", SeedOrigin(lake=""), 1, OPTIONS, Processes(1), silent)
    ours = write_seed(logins, tmp_path / "ours", theirs, ended)
    assert ours == theirs


def raw_rows(lake: FixedLake, number: int) -> Columns:
    """Return what the raw records of a source say, in the order in which the log has their rows."""
    source = lake.project.pipeline.by_number[number]
    raw, log = lake.read(source.topic), lake.read(lake.project.pipeline.log_dataset(source))
    good = judge(source, raw_batch(raw), KEYS).good
    at = {offset: row for row, offset in enumerate(good["raw_offset"].tolist())}
    return take(good, np.array([at[offset] for offset in log["raw_offset"].to_pylist()]))
