"""Rows without an entity's key, and of sources that none of its views reads, pass its stage unfolded."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns
from contracts.keys import partition_of
from features.project.load import load_project
from features.project.running import RunningProject
from streams.stage.entity_stage import EntityStage
from streams.store.rows import StoreRows

PROJECT = RunningProject(load_project(Path("examples/logins")))
PIPELINE = PROJECT.pipeline
DAY_MS = 86_400_000


def stage(name: str) -> EntityStage:
    link = PIPELINE.chain.named(name)
    return EntityStage(PIPELINE, PROJECT.entities[link.place], 0, 8)


class One(NamedTuple):
    """What rows of one source became."""

    rows: Columns
    targets: NDArray[np.int32]
    store_rows: StoreRows | None


def made_of(stage: EntityStage, kind: int, rows: Columns) -> One:
    made = stage.apply([(kind, rows)])
    return One(made.outcomes[0].rows, made.outcomes[0].targets, made.store_rows)


def logins(devices: list[bytes], at_ms: list[int]) -> Columns:
    count = len(devices)
    texts = {"account_id": b"a1", "ip": b"h1", "channel": b"web", "result": b"ok", "traceparent": b""}
    return {
        "pos": np.arange(count) << 20, "raw_partition": np.zeros(count, np.int32),
        "raw_offset": np.arange(count), "appended_ms": np.array(at_ms), "at": np.array(at_ms),
        "login_id": np.array([b"l%d" % i for i in range(count)]), "device_id": np.array(devices),
        **{name: np.full(count, text) for name, text in texts.items()},
        "late": np.zeros(count, np.uint8),
    }  # fmt: skip


def test_a_row_without_the_key_has_null_values_and_moves_nothing() -> None:
    far_ms = 100 * DAY_MS
    with_gap = made_of(stage("device"), 1, logins([b"d1", b"", b"d1"], [DAY_MS, far_ms, DAY_MS + 1]))
    values = with_gap.rows["device_values"]
    assert np.isnan(values[1]).all()
    alone = made_of(stage("device"), 1, logins([b"d1", b"d1"], [DAY_MS, DAY_MS + 1]))
    assert values[[0, 2]].tobytes() == alone.rows["device_values"].tobytes(), "the clock did not move"
    assert with_gap.store_rows is not None
    assert set(with_gap.store_rows.keys.tolist()) == {b"d1"}
    assert with_gap.rows["device_pos"].tolist() == [0, 1 << 20, 2 << 20], "it has a place like any row"


def test_a_row_without_the_next_key_goes_by_its_id() -> None:
    made = made_of(stage("account"), 1, logins([b"d1", b""], [DAY_MS, DAY_MS]) | _hashes(2))
    assert made.targets.tolist() == partition_of(np.array([b"d1", b"l1"]), 8).tolist()


def test_a_batch_of_rows_without_the_key_writes_no_store_row() -> None:
    made = made_of(stage("device"), 1, logins([b"", b""], [DAY_MS, DAY_MS]))
    assert made.store_rows is None
    assert np.isnan(made.rows["device_values"]).all()


def test_rows_of_a_source_that_no_view_reads_pass() -> None:
    number = next(source.number for source in PIPELINE.sources if source.name == "resets")
    rows = logins([b"d1"], [DAY_MS])
    resets = {name: rows[name] for name in rows if name not in ("device_id", "ip", "channel", "result")}
    device = stage("device")
    made = made_of(device, number, resets | {"reset_id": np.array([b"r1"]), "method": np.array([b"sms"])})
    assert {"device_pos", "device_partition", "late"} < set(made.rows)
    assert {"device_values", "device_definitions"}.isdisjoint(made.rows), "a source that nobody reads is free"
    assert made.store_rows is None
    assert len(device) == 0


def _hashes(count: int) -> Columns:
    return {"content_hash": np.arange(count, dtype=np.uint64)}
