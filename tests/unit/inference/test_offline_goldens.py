"""What is folded from a lake is the same bits as it was: a backfill, states, seeds, verification, replay.

The figures were taken while each of them still folded by code of its own. A column is named by its feature,
so a difference names what changed. `python -m tests.unit.inference.test_offline_goldens` writes the file.
"""

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.pipeline import SCORED
from features.definition import Entity
from features.seeded import SeedOrigin
from inference.offline.backfill.executors import Processes
from inference.offline.backfill.offline import folder_of
from inference.offline.backfill.run import Options, backfill, states
from inference.offline.backfill.seed import make_seed
from inference.offline.lake.beginning import begun, remembered, seeded_states
from inference.offline.lake.lake import FixedLake, Lake
from inference.offline.lake.seed_note import write_note
from inference.offline.replay.features import recompute
from inference.offline.training.streamed_values import streamed_values
from inference.offline.verify.verify import verify
from load.this_project import CUSTOMER, ENTITIES, PROJECT, TERMINAL
from tests.lake_maker import PARTITIONS, rewritten
from tests.seed_lakes import BEGIN_MS, DAY_MS, cut_lakes, sparse_events

FILE = Path(__file__).with_name("offline_goldens.json")
OPTIONS = Options(compare=True, rows_a_task=700, memory_mb=128)
ALONE = Processes(1)
CUTS_MS = (BEGIN_MS + 50 * DAY_MS,)
SEEDED = "b"


def silent(_: str) -> None:
    """Say nothing."""


def make_lakes(home: Path) -> list[Lake]:
    """Return two lakes of one stream: idle keys, late rows, labels; the second is seeded from the first."""
    lakes = cut_lakes([home / name for name in ("a", SEEDED)], *sparse_events(seed=11), CUTS_MS)
    for old, new in itertools.pairwise(lakes):
        source = SeedOrigin(lake=str(old.folder))
        seed = make_seed(
            FixedLake(old.folder, PROJECT), new.folder, source, PARTITIONS, OPTIONS, ALONE, silent
        )
        write_note(new.folder, msgspec.structs.replace(seed, finished=True))
    return lakes


def digest(values: Any) -> str:
    """Return a digest of an array's bits, or of a column of a table."""
    if isinstance(values, pa.ChunkedArray | pa.Array):
        return hashlib.sha256(repr(values.to_pylist()).encode()).hexdigest()[:16]
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def of_table(table: pa.Table) -> dict[str, str]:
    """Return the digest of each column."""
    return {name: digest(table[name].combine_chunks()) for name in table.column_names}


def of_values(entity: Entity, values: Any) -> dict[str, str]:
    """Return the digest of each feature."""
    return {name: digest(values[:, at]) for at, name in enumerate(entity.columns)}


def backfilled(lake: Lake, name: str) -> Iterator[tuple[str, Any]]:
    """Yield what a backfill writes, where it does, and reports."""
    report = backfill(lake, ENTITIES, OPTIONS, ALONE, silent).as_dict()
    for entity in ENTITIES:
        parts = sorted(folder_of(lake.folder, entity).glob("part-*.parquet"))
        tables = [pq.ParquetFile(path).read() for path in parts]
        yield f"backfill {name} {entity.name}", of_table(pa.concat_tables(tables)) if tables else {}
        for other in ("seconds", "definitions_hash", "folder"):
            del report["entities"][entity.name][other]
    yield f"backfill {name} report", report


def state_halfway(lake: Lake, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the states as of the middle of every partition."""
    for entity in ENTITIES:
        kept = lake.read("features", [f"{entity.name}_partition", f"{entity.name}_pos"])
        numbers, pos = (
            kept[column].to_numpy() for column in (f"{entity.name}_partition", f"{entity.name}_pos")
        )
        below = {n: int(np.median(pos[numbers == n])) for n in range(PARTITIONS)}
        with states(lake, entity, below, OPTIONS, ALONE, silent) as made:
            for path in sorted(made.folder.glob("*.parquet")):
                table = pq.ParquetFile(path).read()
                yield f"state {name} {entity.name} {path.stem}", of_state(entity, table) | {"rows": made.rows}


def of_state(entity: Entity, table: pa.Table) -> dict[str, Any]:
    """Return digests of what packed states hold, and of which keys are forgotten."""
    state, latest = begun(entity, table), begun(entity, table).latest()
    order = np.argsort(latest.keys)
    forgotten = [key for key, blob in zip(*table.to_pydict().values(), strict=True) if not blob]
    return {
        "keys": digest(pa.array(sorted(latest.keys))), "forgotten": digest(pa.array(sorted(forgotten))),
        "clock": digest(pa.array([state.clock.pack()])), "positions": digest(latest.position[order]),
        "as_of_ms": digest(latest.as_of_ms[order]), **of_values(entity, latest.values[order]),
    }  # fmt: skip


def seeds(lake: Lake) -> Iterator[tuple[str, Any]]:
    """Yield what the second run begins with."""
    ids = remembered(lake)
    assert set(ids["source"].to_pylist()) == {SCORED}  # a column that came after these
    yield "seed remembered", of_table(ids.drop_columns(["source"]))
    for entity in ENTITIES:
        for partition in range(PARTITIONS):
            yield f"seed {entity.name} {partition}", of_state(entity, seeded_states(lake, entity, partition))


def verified(lake: Lake, name: str) -> Iterator[tuple[str, Any]]:
    """Yield what verification says of a sample, and of all."""
    for rows_min in (300, 1_000_000):
        report = verify(FixedLake(lake.folder, PROJECT), None, epoch=1, rows_min=rows_min)
        yield f"verify {name} {rows_min}", orjson.loads(msgspec.json.encode(report))


def damaged(lake: Lake, home: Path) -> Iterator[tuple[str, Any]]:
    """Yield what verification and backfill say of a lake with values changed and rows not archived yet."""
    copied = Path(shutil.copytree(lake.folder, home / "damaged"))
    shutil.rmtree(copied / "backfill", ignore_errors=True)
    for dataset, column in (
        ("features", CUSTOMER.columns[3]), ("label_log", TERMINAL.columns[-1]),
        ("transactions", "amount_minor"),
    ):  # fmt: skip
        path = sorted((copied / dataset).glob("partition=*/*.parquet"))[1]
        table = pq.ParquetFile(path).read()
        if dataset == "transactions":
            pq.write_table(rewritten(table, len(table) // 2, **{column: 987_654}), path)
            continue
        at = table.column_names.index(column)
        changed = np.array(table[column].to_numpy())
        changed[len(changed) // 2] = 987_654
        pq.write_table(table.set_column(at, column, pa.array(changed, table.schema.field(at).type)), path)
    last = sorted((copied / "transactions").glob("partition=*/*.parquet"))[-1]
    pq.write_table(pq.ParquetFile(last).read().slice(0, 300), last)
    yield from verified(Lake(copied, PROJECT), "damaged")
    yield from backfilled(Lake(copied, PROJECT), "damaged")


def replayed(lake: Lake, name: str) -> Iterator[tuple[str, Any]]:
    """Yield what replay computes of some payments."""
    log = lake.read("features", ["customer_id", "raw_partition", "raw_offset", "event_time"])
    rows = log.take(pa.array(range(5, log.num_rows, 41))).to_pylist()
    asked = [
        {
            "source": {"partition": row["raw_partition"], "offset": row["raw_offset"]},
            "keys": {"customer": row["customer_id"]}, "event_time": row["event_time"],
            "features": {"groups": {}},
        }
        for row in rows
    ]  # fmt: skip
    asked.append({**asked[0], "source": {"partition": 0, "offset": 1 << 30}})
    found = recompute(lake, asked)
    values = {entity.name: found.rows[f"{entity.name}_values"] for entity in ENTITIES}
    others = {name: digest(column) for name, column in found.rows.items() if not name.endswith("_values")}
    yield (
        f"replay {name}",
        {"missing": [why for why in found.missing if why], **others}
        | {
            key: value for entity in ENTITIES for key, value in of_values(entity, values[entity.name]).items()
        },
    )


def trained(lake: Lake) -> Iterator[tuple[str, Any]]:
    """Yield features of a training set of which the log lacks some columns, once the backfill is there."""
    rows = lake.read("features", ["raw_partition", "raw_offset", *CUSTOMER.columns, *TERMINAL.columns])
    for entity in ENTITIES:
        grown = rows.drop_columns([entity.columns[2]])
        yield f"training {entity.name}", of_values(entity, streamed_values(lake, grown, entity))


def rounded(figure: Any) -> Any:
    """Return a figure with mean errors, sums of floats in some order, to ten digits."""
    if isinstance(figure, dict):
        return {name: rounded(part) for name, part in figure.items()}
    return round(figure, 10) if isinstance(figure, float) else figure


def figures(home: Path) -> dict[str, Any]:
    """Return all figures by name."""
    first, second = make_lakes(home)
    found = dict(seeds(second))
    for lake, name in ((first, "first"), (second, "second")):
        for part in (state_halfway, verified, replayed, backfilled):
            found |= part(lake, name)
    found |= dict(trained(second)) | dict(damaged(second, home))
    return {name: rounded(orjson.loads(orjson.dumps(figure))) for name, figure in found.items()}


@pytest.mark.timeout(300)
def test_what_is_folded_from_a_lake_is_what_it_was(tmp_path: Path) -> None:
    found, wanted = figures(tmp_path), orjson.loads(FILE.read_bytes())
    assert found.keys() == wanted.keys()
    for name, figure in wanted.items():
        assert found[name] == figure, name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_bytes(orjson.dumps(figures(Path(folder)), option=orjson.OPT_INDENT_2) + b"\n")
