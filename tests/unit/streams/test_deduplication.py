"""What a repeat is depends on the log alone: not on batches, checkpoints or restarts."""

import numpy as np
import pytest

from contracts.frame import strings
from streams.stage.deduplication import CHUNK_ROWS, HORIZON_MS, Arrivals, Deduplication, Duplicates

LOOK = 32  # rows after which the clock looks


def arrivals(*rows: tuple[str, int, int], customers: int = 0) -> Arrivals:
    """Return rows (id, content, time) of one customer, or of several in turn."""
    ids, content, times = zip(*rows, strict=True)
    names = [f"c{at % customers if customers else 'one'}" for at in range(len(rows))]
    return Arrivals(strings(names), strings(ids), np.array(content, np.uint64), np.array(times))


def check(seen: Deduplication, *rows: tuple[str, int, int]) -> Duplicates:
    return seen.check(arrivals(*rows))


def pass_time(seen: Deduplication, time_ms: int, name: str = "x") -> None:
    """Let customers come until the clock has looked and shows a time."""
    while seen.clock.now_ms < time_ms:
        seen.check(arrivals(*[(f"{name}{time_ms}-{n}", 0, time_ms) for n in range(LOOK)], customers=5))


def restarted(seen: Deduplication) -> Deduplication:
    """Return a successor that read the changelog back."""
    chunks = {number: blob for number, blob in seen.take_dirty() if blob is not None}
    fresh = Deduplication()
    fresh.load(chunks, seen.clock.pack())
    return fresh


@pytest.mark.parametrize("restart", [False, True])
def test_an_id_is_remembered_for_a_day_of_the_partitions_clock(restart: bool) -> None:
    seen = Deduplication()
    check(seen, ("a", 1, 1000), ("b", 1, 1001))
    pass_time(seen, 1000 + HORIZON_MS)
    seen = restarted(seen) if restart else seen
    assert check(seen, ("a", 1, 1000 + HORIZON_MS)).repeat.tolist() == [True]
    pass_time(seen, 1001 + HORIZON_MS, "y")
    assert check(seen, ("a", 2, 1001 + HORIZON_MS)).first.tolist() == [True]
    assert check(seen, ("b", 1, 1001 + HORIZON_MS)).repeat.tolist() == [True]
    assert check(seen, ("a", 1, 1002 + HORIZON_MS)).conflict.tolist() == [True]


@pytest.mark.parametrize("restart", [False, True])
def test_a_source_with_a_longer_horizon_keeps_its_ids_in_a_chunk_with_others(restart: bool) -> None:
    horizons_ms, sources, log = {2: 3 * HORIZON_MS, 3: 10}, np.array([1, 2, 3]), dict[int, bytes | None]()
    seen, rows = Deduplication(horizons_ms), arrivals(*[("a", 1, 1000)] * 3)
    assert seen.check(rows, sources).first.all()
    for time_ms, repeats in (
        (1010, [1, 1, 1]), (1011, [1, 1, 0]), (1001 + HORIZON_MS, [0, 1, 0]),
        (1001 + 3 * HORIZON_MS, [0, 0, 0]),
    ):  # fmt: skip
        pass_time(seen, time_ms)
        log.update(seen.take_dirty())
        if restart:
            clock, seen = seen.clock.pack(), Deduplication(horizons_ms)
            seen.load({number: blob for number, blob in log.items() if blob is not None}, clock)
        assert seen.check(rows, sources).repeat.tolist() == [bool(one) for one in repeats]
    assert len(seen) <= 3 + 2 * LOOK


def test_repeat_and_conflict_within_one_batch() -> None:
    found = check(Deduplication(), ("a", 1, 5), ("a", 1, 6), ("b", 1, 6), ("a", 2, 7))
    assert found.first.tolist() == [True, False, True, False]
    assert found.repeat.tolist() == [False, True, False, False]
    assert found.conflict.tolist() == [False, False, False, True]


def test_an_id_is_its_customers_own() -> None:
    """Two customers may use one id, on whatever partitions they live; ids and names of any width."""
    seen = Deduplication()
    rows = Arrivals(
        strings(["c1", "c2", "c2", "c1"]), strings(["t", "t", "t", "t"]), np.array([1, 2, 2, 3], np.uint64),
        np.full(4, 5),
    )  # fmt: skip
    found = seen.check(rows)
    assert found.first.tolist() == [True, True, False, False]
    assert (found.repeat.tolist()[2], found.conflict.tolist()[3]) == (True, True)
    seen = restarted(seen)
    wider = rows._replace(ids=strings(["t", "t", "t", "a longer one"]))
    assert seen.check(wider).first.tolist() == [False, False, False, True]


def test_one_row_dated_ahead_makes_nobody_forget() -> None:
    seen = Deduplication()
    check(seen, ("a", 1, 1000))
    pass_time(seen, 2000)
    ahead = Arrivals(strings(["far"]), strings(["f"]), np.array([1], np.uint64), np.array([10**12]))
    assert seen.check(ahead).first.tolist() == [True]
    pass_time(seen, 3000)
    assert check(seen, ("a", 1, 1000)).repeat.tolist() == [True]
    assert seen.check(ahead).repeat.tolist() == [True]


def test_a_late_row_does_not_turn_the_clock_back() -> None:
    seen = Deduplication()
    check(seen, ("a", 1, 5))
    pass_time(seen, 5 + HORIZON_MS + 1)
    assert check(seen, ("a", 1, 5)).first.tolist() == [True]
    pass_time(seen, 6 + HORIZON_MS + 1)
    assert check(seen, ("a", 1, 5)).repeat.tolist() == [True]


def test_whole_chunks_past_the_horizon_are_forgotten_and_their_records_removed() -> None:
    seen = Deduplication()
    check(seen, *[(f"t{i}", i, 1000) for i in range(CHUNK_ROWS + 1)])
    first = seen.take_dirty()
    assert [number for number, _ in first] == [0, 1]
    pass_time(seen, 1001 + HORIZON_MS)
    assert len(seen) <= 2 * LOOK
    second = dict(seen.take_dirty())
    assert second[0] is None
    assert second[1] is None
    assert second[2] is not None


def test_a_chunk_with_a_row_dated_ahead_stays_and_those_after_it_go() -> None:
    seen = Deduplication()
    check(seen, ("far", 1, 10**12))
    seen.take_dirty()
    check(seen, *[(f"t{i}", i, 1000) for i in range(100)])
    seen.take_dirty()
    pass_time(seen, 1001 + HORIZON_MS)
    assert (1, None) in seen.take_dirty()
    assert check(seen, ("far", 1, 1000)).repeat.tolist() == [True]
    pass_time(seen, 10**12 + HORIZON_MS + 1)
    assert (0, None) in seen.take_dirty()


@pytest.mark.parametrize("restart", [False, True])
def test_an_id_that_came_again_outlives_the_chunk_it_came_in_first(restart: bool) -> None:
    seen, again_ms = Deduplication(), 1002 + HORIZON_MS
    check(seen, ("a", 1, 1000), *[(f"t{i}", i, 1000) for i in range(CHUNK_ROWS)])
    pass_time(seen, again_ms)
    check(seen, ("a", 2, again_ms), ("b", 1, again_ms))
    seen = restarted(seen) if restart else seen
    seen.take_dirty()
    assert check(seen, ("b", 1, again_ms + 1)).repeat.tolist() == [True]
    assert check(seen, ("a", 2, again_ms + 1)).repeat.tolist() == [True]


def test_verdicts_are_those_of_a_dictionary_whatever_the_batches_and_restarts() -> None:
    rng = np.random.default_rng(3)
    seen, known = Deduplication(), dict[tuple[bytes, bytes], tuple[int, int]]()
    log: dict[int, bytes | None] = {}
    clock, begun_ms = _Clock(), 10 * HORIZON_MS
    for _ in range(60):
        count = int(rng.integers(1, 400))
        ids = np.array([b"t%d" % n for n in rng.integers(0, 1000, count)])
        customers = np.array([b"c%d" % n for n in rng.integers(0, 3, count)])
        content = rng.integers(0, 3, count).astype(np.uint64)
        times = begun_ms + rng.integers(-HORIZON_MS, HORIZON_MS // 4, count)
        begun_ms += HORIZON_MS // 8
        found = seen.check(Arrivals(customers, ids, content, times))
        for row in range(count):
            name, time_ms = (customers[row], ids[row]), int(times[row])
            before = known.get(name)
            is_first = before is None or clock.now_ms - before[1] > HORIZON_MS
            assert found.first[row] == is_first
            assert found.conflict[row] == (not is_first and before is not None and before[0] != content[row])
            if is_first:
                known[name] = (int(content[row]), max(clock.now_ms, time_ms))
                clock.row(customers[row], time_ms)
        if rng.random() < 0.3:
            log.update(seen.take_dirty())
        if rng.random() < 0.1:
            log.update(seen.take_dirty())
            clocked = seen.clock.pack()
            seen = Deduplication()
            seen.load({number: blob for number, blob in log.items() if blob is not None}, clocked)
    assert clock.now_ms > 12 * HORIZON_MS


class _Clock:
    """The clock in plain Python: see `features.partition_clock`."""

    def __init__(self) -> None:
        self.now_ms = -(2**61)
        self._rows: list[tuple[bytes, int]] = []

    def row(self, key: bytes, time_ms: int) -> None:
        self._rows.append((key, time_ms))
        if len(self._rows) == LOOK:
            newest = sorted(max(t for k, t in self._rows if k == key) for key in {k for k, _ in self._rows})
            if len(newest) >= 3:
                self.now_ms = max(self.now_ms, newest[len(newest) // 4])
            self._rows = []
