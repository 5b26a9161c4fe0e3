"""Sources in step by time: no partition is reordered, nothing is lost, and nobody is waited for in vain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, length
from load.this_project import PIPELINE
from streams.gate.alignment import FOREVER_MS, Alignment, AlignmentBounds, Piece, Place
from streams.gate.moments import Fineness, moments_of, slices_of

MINUTE_MS = 60_000
EVENTS, OTHERS, LABELS = ("transactions", 0), ("transactions", 1), ("labels", 0)
BOUNDS = AlignmentBounds(
    wait_ms=1000.0, bytes_max=1 << 20, behind_records=10, slice_ms=1, run_rows=1, targets=1
)


def rows_of(place: Place, times_ms: list[int], first: int = 0) -> Columns:
    """Return rows of one record each, at consecutive offsets."""
    time = "label_time" if place[0] == "labels" else "event_time"
    return {"pos": np.arange(first, first + len(times_ms)) << 20, time: np.array(times_ms, np.int64)}


def alignment(*places: Place, bounds: AlignmentBounds = BOUNDS) -> Alignment:
    """Return one that owns partitions of which more is known to come."""
    made = Alignment(PIPELINE.sources, bounds)
    for place in places:
        made.assign(place)
    made.look(dict.fromkeys(places, 1000))
    return made


def order(pieces: list[Piece]) -> list[tuple[str, int]]:
    """Return topic and time of all rows, in the order in which they go."""
    return [
        (p.place[0], t) for p in pieces for name, c in p.rows.items() if name != "pos" for t in c.tolist()
    ]


def test_rows_wait_for_a_partition_that_is_behind_and_go_in_step() -> None:
    gate = alignment(EVENTS, LABELS)
    gate.put(LABELS, rows_of(LABELS, [5, 15, 25]), 0.0)
    assert gate.release(0.0).pieces == []
    gate.put(EVENTS, rows_of(EVENTS, [0, 4, 10, 20]), 1.0)
    released = gate.release(1.0)
    assert released.why == "aligned"
    assert [t for _, t in order(released.pieces)] == [0, 4, 10, 5, 20, 15]
    assert gate.first_held(LABELS) == 2 << 20


def test_labels_are_last_of_a_slice_and_a_run_is_worth_its_record_batch() -> None:
    gate = alignment(EVENTS, LABELS, bounds=BOUNDS._replace(run_rows=2, slice_ms=10))
    gate.put(EVENTS, rows_of(EVENTS, [0, 10, 20, 30, 40, 50]), 0.0)
    gate.put(LABELS, rows_of(LABELS, [1, 11, 21, 31, 41, 51]), 0.0)
    gate.ended(EVENTS), gate.ended(LABELS)
    pieces = gate.release(0.0).pieces
    assert [(piece.place[0], length(piece.rows)) for piece in pieces] == [
        ("transactions", 2), ("labels", 2),
        ("transactions", 2), ("labels", 2),
        ("transactions", 2), ("labels", 2),
    ]  # fmt: skip
    assert [piece.upto for piece in pieces] == [2 << 20, 2 << 20, 4 << 20, 4 << 20, None, None]


@pytest.mark.parametrize("known", [0, 9])
def test_a_partition_at_its_end_delays_nobody(known: int) -> None:
    gate = alignment(EVENTS, LABELS)
    gate.put(EVENTS, rows_of(EVENTS, [0, MINUTE_MS]), 0.0)
    assert gate.release(0.0).pieces == []
    gate.look({EVENTS: 1000, LABELS: known})
    assert len(gate.release(0.0).pieces) == 1, "one source alone is never cut"


def test_the_end_of_a_log_counts_where_its_last_offsets_hold_nothing() -> None:
    gate = alignment(EVENTS, LABELS)
    gate.put(EVENTS, rows_of(EVENTS, [0]), 0.0)
    gate.ended(LABELS)
    assert order(gate.release(0.0).pieces) == [("transactions", 0)]
    gate.put(LABELS, rows_of(LABELS, [-5]), 1.0)  # it goes on
    gate.put(EVENTS, rows_of(EVENTS, [10], first=1), 1.0)
    assert order(gate.release(1.0).pieces) == [("labels", -5)]


def test_who_delivers_nothing_is_given_up_until_he_delivers() -> None:
    gate = alignment(EVENTS, LABELS)
    gate.put(LABELS, rows_of(LABELS, [5]), 0.0)
    assert gate.release(999.0).pieces == []
    released = gate.release(1000.0)
    assert (order(released.pieces), released.why) == ([("labels", 5)], "time")
    gate.put(LABELS, rows_of(LABELS, [6], first=1), 1001.0)
    assert order(gate.release(1001.0).pieces) == [("labels", 6)]
    gate.put(EVENTS, rows_of(EVENTS, [3]), 1002.0)
    gate.put(LABELS, rows_of(LABELS, [7], first=2), 1002.0)
    assert order(gate.release(1002.0).pieces) == [("transactions", 3)], "he is waited for again"


def test_a_row_to_be_scored_is_not_held_for_long_though_others_deliver_all_the_time() -> None:
    gate = alignment(EVENTS, LABELS)
    gate.put(EVENTS, rows_of(EVENTS, [MINUTE_MS]), 0.0)
    for second in range(10):
        gate.put(LABELS, rows_of(LABELS, [second], first=second), 100.0 * second)
        assert {topic for topic, _ in order(gate.release(100.0 * second).pieces)} == {"labels"}
    gate.put(LABELS, rows_of(LABELS, [10], first=10), 1000.0)
    released = gate.release(1000.0)
    assert (len(order(released.pieces)), released.why) == (2, "time")


def test_a_bound_of_bytes_first_pauses_who_is_ahead_and_then_lets_go() -> None:
    gate = alignment(EVENTS, LABELS, bounds=BOUNDS._replace(bytes_max=640))
    gate.put(EVENTS, rows_of(EVENTS, [0]), 0.0)
    gate.put(LABELS, rows_of(LABELS, list(range(1, 22))), 0.0)
    gate.release(0.0)
    assert (gate.held_bytes, gate.ahead()) == (21 * 16, {LABELS})
    gate.put(LABELS, rows_of(LABELS, list(range(22, 42)), first=21), 0.0)
    released = gate.release(0.0)
    assert (released.why, gate.held_bytes, gate.ahead()) == ("bytes", 0, set())


def test_one_row_dated_ahead_or_late_moves_nobody() -> None:
    times = [minute * MINUTE_MS for minute in range(40)]
    odd = times.copy()
    odd[10], odd[20] = 10**12, -(10**12)
    moments = moments_of(np.array(odd))
    assert (np.abs(moments - times) <= 4 * MINUTE_MS).all()


def test_a_partition_given_away_takes_along_what_was_held() -> None:
    gate = alignment(EVENTS, LABELS)
    gate.put(LABELS, rows_of(LABELS, [5]), 0.0)
    gate.revoke(LABELS)
    assert gate.is_idle
    gate.assign(LABELS)
    assert gate.first_held(LABELS) is None


Step = tuple[int, list[int], float, int]  # which partition, times, milliseconds later, records to come
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2), st.lists(st.integers(0, 50), max_size=12), st.floats(0, 700), st.integers(-1, 30)
    ),
    max_size=25,
)  # fmt: skip
SIZES = st.tuples(st.sampled_from([1, 200, 1 << 20]), st.integers(1, 20), st.integers(1, 4))


@given(STEPS, SIZES)
@settings(deadline=None)
def test_every_row_goes_once_and_in_its_partitions_order(
    steps: list[Step], sizes: tuple[int, int, int]
) -> None:
    places = (EVENTS, OTHERS, LABELS)
    gate = alignment(
        *places, bounds=BOUNDS._replace(bytes_max=sizes[0], slice_ms=sizes[1], run_rows=sizes[2])
    )
    given_rows, now_ms, gone = dict.fromkeys(places, 0), 0.0, []
    for number, times_ms, later_ms, known in steps:
        place, now_ms = places[number], now_ms + later_ms
        gate.put(place, rows_of(place, times_ms, given_rows[place]), now_ms)
        given_rows[place] += len(times_ms)
        gate.look({**dict.fromkeys(places, 1000), place: known if known >= 0 else None})
        gone += gate.release(now_ms).pieces
        assert gate.held_bytes <= sizes[0]
    for place in places:
        gate.ended(place)
    gone += gate.release(now_ms).pieces
    assert gate.is_idle
    for place in places:
        own = [piece for piece in gone if piece.place == place]
        sent = [int(pos) >> 20 for piece in own for pos in piece.rows["pos"]]
        assert sent == list(range(given_rows[place]))
        behind = np.cumsum([length(piece.rows) for piece in own])
        assert all(piece.upto in (None, int(end) << 20) for piece, end in zip(own, behind, strict=True))


@given(
    st.lists(st.lists(st.integers(-50, 50), min_size=1, max_size=20), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_slices_cover_every_row_once_and_are_large_enough(runs: list[list[int]], rows_min: int) -> None:
    bounds = slices_of([np.array(run) for run in runs], Fineness(5, rows_min))
    assert len({len(own) for own in bounds}) == 1
    for own, run in zip(bounds, runs, strict=True):
        assert (own[0], own[-1]) == (0, len(run))
        assert (np.diff(own) >= 0).all()
    sizes = np.sum([np.diff(own) for own in bounds], axis=0)
    assert len(sizes) == 1 or sizes.min() >= rows_min


def test_forever_is_later_than_any_time() -> None:
    assert np.int64(FOREVER_MS) > np.iinfo(np.int64).max // 4
