"""What a repeat is depends on the log alone: not on batches, checkpoints or restarts."""

import numpy as np
import pytest

from streams.stage.seen_transactions import CHUNK_ROWS, HORIZON_MS, SeenTransactions, Verdict


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


@pytest.mark.parametrize("restart", [False, True])
def test_an_id_that_came_again_outlives_the_chunk_it_came_in_first(restart: bool) -> None:
    seen, again_ms = SeenTransactions(), 1002 + HORIZON_MS
    judge(seen, ("a", 1, 1000), *[(f"t{i}", i, 1000) for i in range(CHUNK_ROWS)])
    judge(seen, ("a", 2, again_ms), ("b", 1, again_ms))
    seen = restarted(seen) if restart else seen
    seen.take_dirty()
    assert judge(seen, ("b", 1, again_ms + 1)).repeat.tolist() == [True]
    assert judge(seen, ("a", 2, again_ms + 1)).repeat.tolist() == [True]
    assert len(seen) == 3  # one of the old ids shares the newer chunk


def test_verdicts_are_those_of_a_dictionary_whatever_the_batches_and_restarts() -> None:
    rng = np.random.default_rng(3)
    seen, known = SeenTransactions(), dict[bytes, tuple[int, int]]()
    log: dict[int, bytes | None] = {}
    newest_ms = 0
    for _ in range(60):
        count = int(rng.integers(1, 400))
        ids = np.array([b"t%d" % n for n in rng.integers(0, 3000, count)])
        content = rng.integers(0, 3, count).astype(np.uint64)
        times = newest_ms + rng.integers(-HORIZON_MS, HORIZON_MS // 4, count)
        found = seen.judge(ids, content, times)
        for row in range(count):
            newest_ms = max(newest_ms, int(times[row]))
            before = known.get(ids[row])
            is_first = before is None or newest_ms - before[1] > HORIZON_MS
            assert found.first[row] == is_first
            assert found.conflict[row] == (not is_first and before is not None and before[0] != content[row])
            if is_first:
                known[ids[row]] = (int(content[row]), newest_ms)
        if rng.random() < 0.3:
            log.update(seen.take_dirty())
        if rng.random() < 0.1:
            log.update(seen.take_dirty())
            seen = SeenTransactions()
            seen.load({number: blob for number, blob in log.items() if blob is not None}, newest_ms)
