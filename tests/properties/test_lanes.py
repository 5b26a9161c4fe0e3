"""Laws of placed lanes: whatever copies, zombies and holes a log holds, each row is read once, in order."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Columns, Frame, FrameError, Kind, decode, encode, strings, take
from contracts.lanes import LaneWriter, accept

ROWS = 40


def batches(cuts: list[int]) -> list[tuple[int, int]]:
    edges = sorted({0, ROWS, *cuts})
    return list(pairwise(edges))


def write(base: int, cuts: list[int]) -> list[bytes]:
    """One incarnation's records on one lane from `base` to the end, in batches."""
    writer = LaneWriter("a/0", base)
    records = []
    for begin, end in batches(cuts):
        begin = max(begin, base)
        if begin >= end:
            continue
        rows: Columns = {"pos": np.arange(begin, end)}
        keep = rows["pos"] % 3 != 0  # some rows go to another lane, so positions have holes
        rows = take(rows, keep)
        records += [
            data for _, data in writer.emit(Kind.SCORED, rows, np.zeros(len(rows["pos"]), np.int32), end)
        ]
    return records


def read(records: list[bytes], lanes: dict[str, int] | None = None) -> tuple[list[int], list[Frame]]:
    gaps: list[Frame] = []
    lanes = {} if lanes is None else lanes
    rows = [accept(decode(data), lanes, gaps.append)["pos"].tolist() for data in records]
    return [pos for part in rows for pos in part], gaps


EXPECTED = [pos for pos in range(ROWS) if pos % 3 != 0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, ROWS)), st.lists(st.integers(0, ROWS)), st.integers(0, 20), st.data())
def test_a_successor_and_a_zombie_beside_it_change_nothing(cuts, other_cuts, sent, data):
    """The first writer dies after `sent` records, its successor goes on from an acknowledged position; late
    copies of the first writer's records may land anywhere after their own place."""
    first = write(0, cuts)[:sent]
    acknowledged = max([decode(r).to for r in first], default=0)
    base = data.draw(st.integers(0, acknowledged), label="checkpoint")
    log = first + write(base, other_cuts)
    for copy in data.draw(st.lists(st.sampled_from(first), max_size=5) if first else st.just([])):
        log.insert(data.draw(st.integers(first.index(copy) + 1, len(log))), copy)
    assert read(log)[0] == EXPECTED


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, ROWS)), st.data())
def test_a_hole_is_seen_and_healed_by_the_next_incarnation(cuts, data):
    records = write(0, cuts)
    hole = data.draw(st.integers(0, len(records) - 1))
    begin = decode(records[hole]).frm
    rows, gaps = read(records[:hole] + records[hole + 1 :] + write(begin, []))
    assert rows == EXPECTED
    assert len(gaps) == (0 if hole == 0 and len(records) == 1 else len(records) - 1 - hole)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, ROWS)), st.integers(0, ROWS))
def test_a_reader_that_restarts_from_its_numbers_misses_and_repeats_nothing(cuts, stop):
    records = write(0, cuts)
    stop = min(stop, len(records))
    lanes: dict[str, int] = {}
    before, _ = read(records[:stop], lanes)
    after, _ = read(records[max(0, stop - 2) :], dict(lanes))  # the log is read again from a little earlier
    assert before + after == EXPECTED


def test_a_part_too_big_for_a_record_is_cut_into_contiguous_pieces():
    rows: Columns = {"pos": np.arange(3_000), "values": np.zeros((3_000, 100))}
    writer = LaneWriter("a/0", 0)
    records = [data for _, data in writer.emit(Kind.SCORED, rows, np.zeros(3_000, np.int32), 5_000)]
    frames = [decode(data) for data in records]
    assert len(frames) > 2
    assert max(len(data) for data in records) < 1_000_000
    assert [f.claim for f in frames] == [True] + [False] * (len(frames) - 1)
    assert [f.frm for f in frames[1:]] == [f.to for f in frames[:-1]]
    assert frames[-1].to == 5_000
    assert read(records)[0] == list(range(3_000))


@given(st.binary(max_size=200))
def test_a_damaged_frame_is_refused_with_a_code(data):
    whole = encode(Frame("a/0", 0, 4, False, Kind.SCORED, {"pos": np.arange(4)}))
    for damaged in (data, whole[: len(data)], whole + data[:1] if data else whole[:-1]):
        assert read_or_refused(damaged) == (damaged == whole)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_frame_with_changed_bytes_is_read_or_refused_never_an_accident(changes):
    rows: Columns = {"pos": np.arange(5), "id": strings(["a", "bb", "c", "d", "e"]), "v": np.ones((5, 3))}
    data = bytearray(encode(Frame("a/0", 0, 8, True, Kind.SCORED, rows)))
    for at, byte in changes:
        data[at % len(data)] = byte
    read_or_refused(bytes(data))


def read_or_refused(data: bytes) -> bool:
    """Return whether it is a frame; any error but a frame's own fails the test."""
    try:
        decode(data)
    except FrameError as error:
        return not error.code.startswith("E_FRAME_")
    return True
