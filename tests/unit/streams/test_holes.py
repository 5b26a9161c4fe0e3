"""Behind records that are gone: lanes go on, what was lost is named, and a gap that is none stops nobody."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import Stop
from contracts.frame import Frame, Kind, encode, position
from contracts.raw import RawBatch
from features.meaning import meanings_of
from load.this_project import ENTITIES, PIPELINE
from runtime.input_record import Hole, InputRecord
from streams.archive.parquet_files import Reached, file_path, reached, write_whole
from streams.archive.partition import FrameHolder
from streams.gate.core import GateCore
from streams.stage.core import Gaps, Marker, StageCore
from tests.stages import customer_rows
from tests.unit.inference.support import feature_rows
from tests.unit.streams.payments import events

LANE = "transactions/0"

OWN = meanings_of(ENTITIES)


def frame_of(first: int, count: int) -> bytes:
    """Return a frame of the gate's that does not claim: an incarnation that went on all the time."""
    rows = events(np.random.default_rng(1), count, first_id=first)
    rows["pos"] = position(first) + position(1) * np.arange(count, dtype=np.int64)
    return encode(Frame(LANE, position(first), position(first + count), False, Kind.SCORED, rows))


def core_at(offset: int, lanes: dict[str, int], joined: list[str] | None, gaps: Gaps) -> StageCore:
    marker = Marker(input_offset=offset, lanes=lanes, definitions_hash="", joined=joined)
    return StageCore("events.customer/1", customer_rows(1, 4), marker, gaps=gaps)


def test_a_stage_goes_on_behind_an_accepted_hole_and_says_what_it_held() -> None:
    lost: list[tuple[str, int, int]] = []
    core = core_at(7, {LANE: position(10)}, [], Gaps(lost=lost.append))
    core.batch([(7, frame_of(30, 5)), (8, frame_of(35, 5))])
    assert core.counts.rows == 10
    assert core.counts.lane_gaps == 0
    assert lost == [(LANE, position(10), position(30))]
    marker = core.snapshot().marker
    assert (marker.lanes, marker.joined) == ({LANE: position(40)}, [LANE])
    again = core_at(marker.input_offset, marker.lanes, marker.joined, Gaps(lost=lost.append))
    again.batch([(9, frame_of(60, 5))])  # another kind of gap: its writer comes again
    assert (again.counts.rows, again.counts.lane_gaps, len(lost)) == (0, 1, 1)


def test_without_an_accepted_hole_no_lane_jumps() -> None:
    core = core_at(7, {LANE: position(10)}, None, Gaps())
    core.batch([(7, frame_of(30, 5))])
    assert (core.counts.rows, core.counts.lane_gaps) == (0, 1)


@pytest.mark.parametrize("is_hole", [True, False])
def test_offsets_that_are_no_records_are_passed_and_others_are_a_hole(is_hole: bool) -> None:
    asked: list[tuple[int, int]] = []

    def answer(frm: int, to: int) -> bool:
        asked.append((frm, to))
        return is_hole

    core = core_at(7, {LANE: position(10)}, None, Gaps(is_hole=answer))
    records = [(7, frame_of(10, 5)), (9, frame_of(15, 5))]
    if is_hole:
        with pytest.raises(Stop, match="E_INPUT_HOLE"):
            core.batch(records)
    else:
        core.batch(records)
        assert (core.counts.rows, core.input_offset) == (10, 10)
    assert asked == [(8, 9)]


class Record:
    """What a holder reads of a Kafka message."""

    def __init__(self, at: int, data: bytes) -> None:
        self.at, self.data = at, data

    def value(self) -> bytes:
        return self.data

    def offset(self) -> int:
        return self.at


def test_an_archives_lanes_go_on_behind_a_hole_and_are_kept_beside_the_offset() -> None:
    def message(at: int, first: int) -> Any:
        rows = feature_rows(5, partition=1, first_offset=first)
        frame = Frame("events.terminal/1", position(first), position(first + 5), False, Kind.SCORED, rows)
        return Record(at, encode(frame))

    lost: list[tuple[str, int, int]] = []
    bad: list[str] = []
    holder = FrameHolder(
        PIPELINE,
        '{"events.terminal/1":0}',
        lambda what, _: bad.append(what),
        meanings_of(ENTITIES),
        on_lost=lost.append,
    )
    holder.rejoin()
    assert holder.add([message(4, 20)]) == 5
    assert (lost, bad) == ([("events.terminal/1", 0, position(20))], [])
    again = FrameHolder(
        PIPELINE,
        holder.metadata(),
        lambda what, _: bad.append(what),
        meanings_of(ENTITIES),
        on_lost=lost.append,
    )
    assert again.add([message(5, 25), message(6, 40)]) == 5
    assert bad == ["gap"]


def test_files_say_where_an_archive_stood_and_half_a_flush_does_not_count(tmp_path: Path) -> None:
    datasets = ("features", "label_log")
    table = pa.table({"offset": pa.array([1], pa.int64())})
    assert reached(tmp_path, datasets, 1) is None
    write_whole(table, file_path(tmp_path, "features", 1, 0), 0, 10, ["features"], '{"a":1}')
    assert reached(tmp_path, datasets, 1) == Reached(10, '{"a":1}')
    write_whole(table, file_path(tmp_path, "features", 1, 10), 10, 20, datasets, '{"a":2}')
    assert reached(tmp_path, datasets, 1) == Reached(10, '{"a":1}')
    write_whole(table, file_path(tmp_path, "label_log", 1, 10), 10, 20, datasets, '{"a":2}')
    assert reached(tmp_path, datasets, 1) == Reached(20, '{"a":2}')


def test_a_letter_of_a_partition_that_was_added_goes_to_one_that_is_there() -> None:
    gate = GateCore(PIPELINE, partitions=4)
    for partition in range(7):
        gate.assign("transactions", partition, base_offset=0)
    bad = RawBatch.of([(p, 0, 1_700_000_000_000, b"c1", b"{", None) for p in range(7)])
    letters = gate.process("transactions", bad).records
    assert sorted(letter.partition for letter in letters) == [0, 0, 1, 1, 2, 2, 3]
    pointer = gate.unreadable("transactions", 6, (5, 9))
    assert pointer.partition == 2


def test_a_gate_moves_over_offsets_that_hold_nothing_and_never_back() -> None:
    gate = GateCore(PIPELINE, partitions=4)
    gate.assign("transactions", 0, base_offset=5)
    assert not gate.pass_by("transactions", 0, 5)
    assert gate.pass_by("transactions", 0, 9)
    assert not gate.pass_by("transactions", 0, 9)
    assert not gate.pass_by("transactions", 1, 9)  # not ours
    with pytest.raises(Stop, match="E_GATE_ORDER"):
        gate.process("transactions", RawBatch.of([(0, 8, 1_700_000_000_000, b"c1", b"{", None)]))


def test_holes_are_accepted_reader_by_reader_and_chained(tmp_path: Path) -> None:
    record = InputRecord(tmp_path)
    for frm, to in ((10, 20), (20, 30)):
        hole = Hole(topic="labels", partition=1, frm=frm, to=to, reader="gate", at_ms=0)
        record.accept(hole, "ann", "INC-1")
    assert record.end_of("gate", "labels", 1, 15) == 30
    assert record.end_of("gate", "labels", 1, 9) == 9
    assert record.end_of("archive", "labels", 1, 15) == 15
    assert record.go_on("gate", ("labels", 1), 12, log_start=25) == 30
    with pytest.raises(Exception, match="offsets 30 to 40"):
        record.go_on("gate", ("labels", 1), 12, log_start=40)
    assert [hole.why for hole in record.holes()] == ["INC-1", "INC-1", ""]
    assert record.go_on("gate", ("labels", 1), 40, log_start=40) == 40  # somebody has set the offset by hand
    assert record.open() == []


def test_the_first_id_of_a_topic_stays_until_somebody_accepts_another(tmp_path: Path) -> None:
    first, second = InputRecord(tmp_path), InputRecord(tmp_path)
    first.meet({"labels": "one"})
    second.meet({"labels": "two", "reviews": "three"})
    assert {name: fact.id for name, fact in first.topics().items()} == {"labels": "one", "reviews": "three"}
    assert first.made_again("labels", "two").generation == 1
    assert (second.generation("labels"), second.topics()["labels"].id) == (1, "two")
