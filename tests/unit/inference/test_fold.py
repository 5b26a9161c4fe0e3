"""The one fold over the lake gives the same bits in any batches, of any keys, after any stop."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.frame import Columns, concat
from features.definition import Entity
from inference.offline.fold.fold import Folded, PartitionFold, fold
from inference.offline.fold.ordered import Selection, ordered
from inference.offline.lake.beginning import STATES, begun
from inference.offline.lake.lake import Lake
from inference.offline.replay.features import recompute
from load.this_project import CUSTOMER, ENTITIES, PROJECT, TERMINAL
from tests.lake_maker import make_lake
from tests.unit.inference.conftest import DAY_MS, Made, events

MIDDLE = 300 << 20
PARTITION = 2


def answers(parts: Iterable[Folded]) -> Columns:
    """Return rows and what was answered, all in one."""
    return concat(
        [
            {
                **part.rows.columns, "logged": part.rows.values, "values": part.applied.values,
                "wrong": part.applied.late, "as_of_ms": part.applied.as_of_ms,
            }
            for part in parts
        ]
    )  # fmt: skip


def same(found: Columns, wanted: Columns) -> None:
    """Hold that two are of the same rows and the same bits."""
    assert found.keys() == wanted.keys()
    for name, column in wanted.items():
        width = found[name].astype(column.dtype)
        assert width.tobytes() == column.tobytes(), name


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
@pytest.mark.parametrize("is_raw", [False, True])
def test_batches_of_any_size_give_the_same_bits(made: Made, entity: Entity, is_raw: bool) -> None:
    asked = Selection(entity=entity, is_raw=is_raw, is_logged=True)
    whole = answers(fold(made.lake, asked))
    assert len(whole["pos"]) >= len(made.payments["event_time"])
    same(whole | {"values": whole["logged"]}, whole)
    same(answers(fold(made.lake, asked, rows_a_batch=37)), whole)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_some_keys_get_what_they_get_among_all(made: Made, entity: Entity) -> None:
    whole = answers(fold(made.lake, Selection(entity=entity)))
    keys = np.unique(whole[entity.join_key])[::9]
    some = answers(fold(made.lake, Selection(entity=entity, keys=keys.tolist())))
    mine = np.isin(whole[entity.join_key], keys)
    assert 0 < mine.sum() < len(mine)
    same(some, {name: column[mine] for name, column in whole.items()})


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_a_fold_goes_on_from_what_another_kept(made: Made, entity: Entity, tmp_path: Path) -> None:
    limit = {PARTITION: MIDDLE}
    spans = (
        Selection(entity=entity, partition=PARTITION, below=limit),
        Selection(entity=entity, partition=PARTITION, since=limit),
    )
    kept, parts = STATES.empty_table(), list[Folded]()
    for span in spans:
        partition = PartitionFold(entity, kept, is_kept=True)
        parts += [partition.take(rows) for rows in ordered(made.lake, span, tmp_path)]
        assert parts
        kept = partition.kept()
    once = PartitionFold(entity, STATES.empty_table(), is_kept=True)
    whole = Selection(entity=entity, partition=PARTITION)
    same(answers(parts), answers([once.take(rows) for rows in ordered(made.lake, whole, tmp_path)]))
    mine, theirs = begun(entity, kept), begun(entity, once.kept())
    assert mine.clock.pack() == theirs.clock.pack()
    names = np.array(kept["key"].to_pylist(), np.bytes_)
    assert kept["key"].equals(once.kept()["key"])
    for days in (0, 3, 20):
        now_ms = np.full(len(names), mine.clock.now_ms + days * DAY_MS)
        assert mine.at(names, now_ms).tobytes() == theirs.at(names, now_ms).tobytes()


def test_keys_of_any_alphabet_are_folded(tmp_path: Path) -> None:
    payments, labels = events(count=400)
    for rows in (payments, labels):
        rows["customer_id"] = np.array(
            [f"żółw-{name.decode()}".encode() for name in rows["customer_id"].tolist()]
        )
    make_lake(tmp_path, payments, labels)
    for is_raw in (False, True):
        for entity in (CUSTOMER, TERMINAL):
            asked = Selection(entity=entity, is_raw=is_raw, is_logged=True)
            found = answers(fold(Lake(tmp_path, PROJECT), asked))
            same(found | {"values": found["logged"]}, found)


def test_a_row_whose_raw_record_is_gone_is_not_folded_and_a_replay_says_so(tmp_path: Path) -> None:
    make_lake(tmp_path, *events(count=400))
    path = sorted((tmp_path / "transactions").glob("partition=*/*.parquet"))[0]
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.concat_tables([table.slice(0, 5), table.slice(6)]), path)
    lake = Lake(tmp_path, PROJECT)
    assert len(answers(fold(lake, Selection(entity=CUSTOMER, is_raw=True)))["pos"]) == 399
    asked = {"event_time": 0, "customer_id": "", "features": {"groups": {}}}
    found = recompute(lake, [asked | {"source": {"partition": 0, "offset": offset}} for offset in (4, 5, 6)])
    assert found.missing == ["", "its raw record is not in the lake", ""]


def test_a_lake_without_rows_folds_none(tmp_path: Path) -> None:
    assert list(fold(Lake(tmp_path, PROJECT), Selection(entity=TERMINAL, is_raw=True, is_logged=True))) == []
