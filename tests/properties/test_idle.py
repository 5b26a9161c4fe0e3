"""Laws of forgetting: an idle key that is dropped changes no answer, and its memory is used again."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, Kind, strings, take
from features.definition import DAY_MS
from features.partition_clock import PartitionClock
from features.state import EntityState
from load.oracle.windows import ClockOracle
from load.this_project import CUSTOMER
from tests.properties.test_windows import SMALL, T0, assert_same_bits, by_definition, payments


# steps of a clock that outlives keys now and then, a little back sometimes: forward mostly
@pytest.fixture(scope="module", autouse=True)
def quick_clocks() -> Iterator[None]:
    """Clocks that look every four rows, so that short logs move them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartitionClock, "rows", 4)
        patch.setattr(ClockOracle, "rows", 4)
        yield


STEP = st.sampled_from([0, 0, 1_000, 30_000, 300_000, DAY_MS // 2, DAY_MS + 400_000, -20_000, -3 * DAY_MS])
ROWS = st.lists(st.tuples(st.integers(0, 5), STEP, st.integers(0, 1000), st.integers(0, 5)), min_size=1)


def walk(rows: list[tuple[int, int, int, int]]) -> Columns:
    """Return rows at the clock's steps; one in eleven (by its amount) is dated a year ahead of it."""
    times = np.cumsum([step for _, step, *_ in rows]) + 100 * DAY_MS
    times += np.where(np.array([amount for *_, amount, _ in rows]) % 11 == 7, 365 * DAY_MS, 0)
    return payments([(k, int(t), a, m) for (k, _, a, m), t in zip(rows, times, strict=True)])


def in_batches(state: EntityState, columns: Columns, batch: int) -> np.ndarray:
    count = len(columns["pos"])
    parts = [
        state.apply(take(columns, slice(i, i + batch)), Kind.SCORED).values for i in range(0, count, batch)
    ]
    return np.concatenate(parts)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 30))
def test_forgetting_changes_no_answer_whatever_the_batches(rows, batch):
    columns = walk(rows)
    expected, _ = by_definition(SMALL, columns, [Kind.SCORED] * len(rows))
    assert_same_bits(in_batches(EntityState(SMALL), columns, batch), expected, SMALL.columns)


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.integers(1, 30))
def test_a_changelog_with_tombstones_restores_the_same_answers(rows, more, batch):
    columns = walk(rows + more)
    whole, first = EntityState(SMALL), EntityState(SMALL)
    expected = in_batches(whole, columns, batch)
    changelog: dict[bytes, bytes | None] = {}
    for i in range(0, len(rows), batch):
        in_batches(first, take(columns, slice(i, min(i + batch, len(rows)))), batch)
        changelog.update(zip(*first.take_dirty(), strict=True))
    live = {key: blob for key, blob in changelog.items() if blob is not None}
    assert len(live) == len(first)
    second = EntityState(SMALL)
    second.load(list(live), list(live.values()))
    second.clock.load(first.clock.pack())
    tail = take(columns, slice(len(rows), None))
    assert_same_bits(in_batches(second, tail, batch), expected[len(rows) :], SMALL.columns)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 5))
def test_an_idle_key_is_read_as_a_new_one(rows, asked):
    columns, state = walk(rows), EntityState(SMALL)
    in_batches(state, columns, 7)
    row = walk([*rows, (asked, DAY_MS, 5, 1)])
    row = take(row, slice(len(rows), None))
    peeked = state.peek(row, Kind.SCORED)
    assert_same_bits(peeked.values, state.apply(row, Kind.SCORED).values, SMALL.columns)


def test_memory_of_forgotten_keys_is_used_again():
    """Ten generations of customers, each after the last one's windows: the room of about two is enough."""
    state = EntityState(CUSTOMER)
    sizes = []
    for generation in range(10):
        n = 4000
        columns = {
            "pos": np.arange(n),
            "customer_id": strings([f"g{generation}c{i % 500}" for i in range(n)]),
            "terminal_id": strings([f"m{i % 7}" for i in range(n)]),
            "event_time": T0 + generation * 40 * DAY_MS + np.arange(n) * 1000,
            "amount_minor": np.ones(n, np.int64),
        }
        in_batches(state, columns, 1000)
        keys, blobs = state.take_dirty()
        gone = [key for key, blob in zip(keys, blobs, strict=True) if blob is None]
        assert gone == (
            [] if not generation else sorted(f"g{generation - 1}c{i}".encode() for i in range(500))
        )
        sizes.append(state.nbytes)
    assert len(state) == len(state.latest().keys) == 500
    assert max(sizes[2:]) <= sizes[1]
