"""A dead letter is replayed once: the ledger knows, whatever day it is and whatever ended it before."""

import json
from pathlib import Path

import pytest

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, StateError
from load.this_project import PIPELINE
from streams.gate.dead_letters import DeadLetters, Letter, Origin
from streams.gate.replayed import FILE, opened

DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000
VALUE = {
    "transaction_id": "t1", "event_time": NOW_MS, "customer_id": "c1", "terminal_id": "m1",
    "amount_minor": 5, "currency": "EUR",
}  # fmt: skip


class Published(DeadLetters):
    """Dead letters whose records go into a list, or fail."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__(KafkaConnection(bootstrap_servers="nowhere:9092"), "", PIPELINE)
        self.published: list[Origin] = []
        self.fails = fails

    def _publish(self, letters: list[Letter]) -> None:
        self.published += [letter.origin for letter in letters]
        if self.fails:
            raise ClusterError("E_DLQ_REPLAY", "gone", "nowhere:9092", "")


def letter(offset: int) -> Letter:
    return Letter(
        origin=Origin("transactions", 0, offset), code="E_TIME_FUTURE", reason="", stage="gate", contract="",
        timestamp_ms=NOW_MS, copied=True, key=b"c1",
        value=json.dumps(VALUE | {"transaction_id": f"t{offset}"}).encode(),
    )  # fmt: skip


def replay(dead: Published, folder: Path, *offsets: int, now_ms: int, again: bool = False) -> list[str]:
    with opened(folder) as ledger:
        letters = [letter(offset) for offset in offsets]
        refused = dead.replay(letters, now_ms, ledger, dry_run=False, again=again)
    return [f"{one.origin.offset} {one.code} {one.reason}" for one in refused]


def test_a_second_replay_a_day_later_publishes_nothing_twice(tmp_path: Path) -> None:
    dead = Published()
    assert replay(dead, tmp_path, 1, 2, now_ms=NOW_MS) == []
    refused = replay(dead, tmp_path, 2, 3, now_ms=NOW_MS + 2 * DAY_MS)
    assert [origin.offset for origin in dead.published] == [1, 2, 3]
    assert refused == [
        "2 E_DLQ_REPLAYED replayed at 2023-11-14T22:13:20+00:00; --again publishes it once more"
    ]
    assert replay(dead, tmp_path, 2, now_ms=NOW_MS + 2 * DAY_MS, again=True) == []
    assert [origin.offset for origin in dead.published] == [1, 2, 3, 2]


def test_a_replay_that_was_never_confirmed_counts(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="E_DLQ_REPLAY"):
        replay(Published(fails=True), tmp_path, 1, now_ms=NOW_MS)
    dead = Published()
    [refused] = replay(dead, tmp_path, 1, now_ms=NOW_MS + DAY_MS)
    assert "begun at 2023-11-14T22:13:20+00:00 was never confirmed" in refused
    assert dead.published == []


def test_a_dry_run_notes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        Published().replay([letter(1)], NOW_MS, ledger, dry_run=True, again=False)
    assert (tmp_path / FILE).read_bytes() == b""


def test_a_line_cut_short_by_a_crash_is_passed_over_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    dead = Published()
    replay(dead, tmp_path, 1, now_ms=NOW_MS)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b'{"origin":"transactions/0/9","wh')
    assert replay(dead, tmp_path, 9, now_ms=NOW_MS) == []
    assert len(replay(dead, tmp_path, 1, 9, now_ms=NOW_MS)) == 2
    path.write_bytes(b"no line\n" + path.read_bytes())
    with pytest.raises(StateError, match="E_DLQ_LEDGER"):
        replay(dead, tmp_path, 5, now_ms=NOW_MS)
