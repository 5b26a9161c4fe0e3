"""What a repeat is depends on the log alone: not on batches, checkpoints or restarts."""

import numpy as np
import pytest

from streams.seen_transactions import CHUNK_ROWS, HORIZON_MS, SeenTransactions, Verdict


def judge(seen: SeenTransactions, *rows: tuple[str, int, int]) -> Verdict:
    ids, content, times = zip(*rows, strict=True)
    return seen.judge(np.array([i.encode() for i in ids]), np.array(content, np.uint64), np.array(times))


def restarted(seen: SeenTransactions) -> SeenTransactions:
    """Return a successor that read the changelog back."""
    chunks = {number: blob for number, blob in seen.take_dirty() if blob is not None}
    fresh = SeenTransactions()
    fresh.load(chunks, seen.newest_ms)
    return fresh


@pytest.mark.parametrize("restart", [False, True])
def test_an_id_is_remembered_for_a_day_of_event_time(restart: bool) -> None:
    seen = SeenTransactions()
    judge(seen, ("a", 1, 1000), ("b", 1, 1001))
    seen = restarted(seen) if restart else seen
    assert judge(seen, ("a", 1, 1000 + HORIZON_MS)).repeat.tolist() == [True]
    assert judge(seen, ("a", 2, 1001 + HORIZON_MS)).first.tolist() == [True]
    assert judge(seen, ("b", 1, 1001 + HORIZON_MS)).repeat.tolist() == [True]
    assert judge(seen, ("a", 1, 1002 + HORIZON_MS)).conflict.tolist() == [True]


def test_repeat_and_conflict_within_one_batch() -> None:
    found = judge(SeenTransactions(), ("a", 1, 5), ("a", 1, 6), ("b", 1, 6), ("a", 2, 7))
    assert found.first.tolist() == [True, False, True, False]
    assert found.repeat.tolist() == [False, True, False, False]
    assert found.conflict.tolist() == [False, False, False, True]


def test_a_late_row_does_not_turn_the_clock_back() -> None:
    seen = SeenTransactions()
    judge(seen, ("a", 1, 5), ("b", 1, 5 + HORIZON_MS + 1))
    assert judge(seen, ("a", 1, 5)).first.tolist() == [True]


def test_whole_chunks_past_the_horizon_are_forgotten_and_their_records_removed() -> None:
    seen = SeenTransactions()
    judge(seen, *[(f"t{i}", i, 1000) for i in range(CHUNK_ROWS + 1)])
    first = seen.take_dirty()
    assert [number for number, _ in first] == [0, 1]
    judge(seen, ("late", 0, 1001 + HORIZON_MS))
    assert len(seen) == 1
    second = dict(seen.take_dirty())
    assert second[0] is None
    assert second[1] is None
    assert second[2] is not None
