"""When a stream began is found once, rides in the committed offset, and is known again after a restart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from contracts.connections import KafkaConnection, RedisConnection
from contracts.frame import Columns, Frame, Kind, encode, position, strings
from features.definition import DAY_MS
from inference.drift.full_windows import (
    LABELS_SETTLE_MS,
    LONG_AGO,
    NEVER_MS,
    UNKNOWN,
    Began,
    from_ms,
    reaches_of,
)
from inference.scorer.metrics import ScorerMetrics
from inference.scorer.position import Position, decode_position, encode_lanes
from inference.scorer.scorer import Clients, Record, Scorer
from inference.scorer.settings import ScorerSettings
from load.this_project import ENTITIES, PROJECT, SERVICE
from runtime.clock import SystemClock
from tests.unit.inference.support import feature_rows

LANE = "events.terminal/0"


class _Drift:
    def __init__(self) -> None:
        self.told: dict[int, Began] = {}

    def began_at(self, partition: int, began: Began) -> None:
        self.told[partition] = began


class _Core:
    """As much of the core as is asked before rows are scored."""

    def __init__(self) -> None:
        self.drift, self.project = _Drift(), PROJECT


def _scorer(lake: Path | None = None) -> Scorer:
    settings = ScorerSettings(
        kafka=KafkaConnection(bootstrap_servers="nobody:1"), redis=RedisConnection(host="nobody", port=1),
        models=Path("none"), lake=lake,
    )  # fmt: skip
    nobody: Any = None
    core: Any = _Core()
    metrics = ScorerMetrics(CollectorRegistry(), PROJECT)
    return Scorer(Clients(nobody, nobody), core, metrics, settings, SystemClock())


def _payments(first: int, count: int) -> bytes:
    rows = feature_rows(count, first_offset=first)
    return encode(Frame(LANE, position(first), position(first + count), False, Kind.SCORED, rows))


def _labels(first: int, label_ms: list[int]) -> bytes:
    count = len(label_ms)
    texts = strings([f"t{n}" for n in range(count)])
    rows: Columns = {
        "pos": np.array([position(first + n) for n in range(count)], np.int64), "transaction_id": texts,
        "positive": np.zeros(count, np.uint8), "label_time": np.array(label_ms, np.int64),
        "event_time": np.array(label_ms, np.int64), "appended_ms": np.array(label_ms, np.int64),
        **{f"{one.name}_values": np.zeros((count, len(one.columns))) for one in ENTITIES},
    }  # fmt: skip
    return encode(Frame(LANE, position(first), position(first + count), False, Kind.LABEL, rows))


def test_the_first_rows_of_each_kind_say_when_the_stream_began() -> None:
    scorer = _scorer()
    scorer._positions = {0: Position(0, {})}
    records = [
        Record(0, 0, _payments(0, 50)), Record(0, 1, _labels(50, [7000, 8000, 9000])),
        Record(0, 2, _payments(53, 50)), Record(0, 3, _labels(103, [1])),
    ]  # fmt: skip
    reached = scorer._accepted(records).reached[0]
    times = feature_rows(50, first_offset=0)["event_time"]
    assert reached.began == Began(int(np.median(times)), 8000)
    one_by_one = _scorer()
    one_by_one._positions = {0: Position(0, {})}
    for record in records:
        one_by_one._positions.update(one_by_one._accepted([record]).reached)
    assert one_by_one._positions[0] == reached
    committed = encode_lanes(reached.lanes, "x", reached.sampled, reached.began)
    assert decode_position(committed, "x", reached.offset) == reached


def test_a_restart_knows_the_age_and_an_offset_of_an_older_version_does_not() -> None:
    old = json.dumps({"v": 1, "lanes": {LANE: 7}})
    assert decode_position(old, "x") == Position(0, {LANE: 7}, began=UNKNOWN)
    scorer = _scorer()
    scorer._tell_beginnings({0: Position(5, {}, began=Began(10, 20)), 1: Position(0, {})})
    assert scorer._core.drift.told == {0: Began(10, 20), 1: UNKNOWN}  # type: ignore[attr-defined]


def test_a_run_with_a_seed_has_full_windows_at_once(tmp_path: Path) -> None:
    seed = {
        "source": {"lake": "there"},
        "bounds": {"raw_before": {}, "log_before": {}, "below": {}},
        "partitions": 1, "rows": {}, "clocks": {}, "definitions": {}, "files": {}, "finished": True,
    }  # fmt: skip
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "seed.json").write_text(json.dumps(seed))
    scorer = _scorer(tmp_path)
    scorer._tell_beginnings({0: Position(0, {})})
    assert scorer._core.drift.told == {0: LONG_AGO}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("column", "payments_days", "labels_days"),
    [
        ("amount_minor", 0.0, None),
        ("customer_count_1h", 1 / 24 + 5 / 1440, None),
        ("terminal_amount_mean_30d", 32.0, None),
        ("customer_ms_since_last", 30.0, None),  # no window of its own: the longest of its view
        ("customer_frequency_ratio_24h", 32.0, None),  # of a day and of 30 days
        ("terminal_labels_7d", None, 7.5 + 7),
        ("terminal_fraud_ratio_30d", None, 32.0 + 7),
        ("profile_terminals", 38.0, None),
    ],
)
def test_a_column_needs_as_much_of_the_stream_as_its_windows_reach_back(
    column: str, payments_days: float | None, labels_days: float | None
) -> None:
    needed = [None if days is None else round(days * DAY_MS) for days in (payments_days, labels_days)]
    assert list(reaches_of(PROJECT).of[column]) == needed
    began = Began(1_000, 2_000)
    wanted = max(a + b for a, b in zip(began, needed, strict=True) if a is not None and b is not None)
    assert from_ms(reaches_of(PROJECT).of[column], began) == wanted


def test_every_column_has_its_age_and_its_source() -> None:
    assert LABELS_SETTLE_MS == 7 * DAY_MS
    for name in SERVICE.columns:
        assert reaches_of(PROJECT).sources_of(name), name
        assert from_ms(reaches_of(PROJECT).of[name], LONG_AGO) == 0
        assert from_ms(reaches_of(PROJECT).of[name], UNKNOWN) == NEVER_MS
