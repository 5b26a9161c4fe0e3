"""The feature log reaches the lake once, whatever its writers repeat."""

import json
from typing import NamedTuple

import numpy as np
import pytest

from contracts.errors import StateError
from contracts.frame import Columns, Frame, Kind, encode
from features.meaning import meaning_of, meanings_of
from load.this_project import CUSTOMER, ENTITIES, PIPELINE, TERMINAL
from streams.archive.partition import FrameHolder, PartitionBuffer


class Published(NamedTuple):
    """A record of the feature log."""

    at: int
    data: bytes

    def offset(self) -> int:
        return self.at

    def topic(self) -> str:
        return "features.log"

    def partition(self) -> int:
        return 0

    def value(self) -> bytes:
        return self.data


def rows(*positions: int, columns: int = len(CUSTOMER.columns)) -> Columns:
    count = len(positions)
    return {
        "pos": np.array(positions, np.int64),
        "transaction_id": np.array([f"t{p}" for p in positions], np.bytes_),
        "appended_ms": np.array(positions, np.int64) * 1000,
        "event_time": np.array(positions, np.int64),
        "customer_values": np.zeros((count, columns)),
        "terminal_values": np.ones((count, len(TERMINAL.columns))),
    }


def frame(frm: int, to: int, claim: bool, kind: int = Kind.SCORED) -> bytes:
    return encode(Frame("events.terminal/0", frm, to, claim, kind, rows(*range(frm, to))))


def holder(metadata: str = "") -> tuple[FrameHolder, list[str]]:
    bad: list[str] = []
    return FrameHolder(PIPELINE, metadata, lambda what, where: bad.append(what), meanings_of(ENTITIES)), bad


def feed(held: FrameHolder, *records: bytes) -> list[int]:
    return [held.add([Published(at, data)]) for at, data in enumerate(records)]  # type: ignore[arg-type]


def test_copies_of_a_new_incarnation_fall_away() -> None:
    held, bad = holder()
    assert feed(held, frame(0, 4, True), frame(2, 6, True), frame(6, 7, False)) == [4, 2, 1]
    table = held.drain()["features"]
    assert table["transaction_id"].to_pylist() == [f"t{p}" for p in range(7)]
    assert table["offset"].to_pylist() == [0, 0, 0, 0, 1, 1, 2]
    assert bad == []


def test_lane_numbers_go_on_from_the_committed_metadata() -> None:
    first, _ = holder()
    feed(first, frame(0, 4, True))
    second, _ = holder(first.metadata())
    assert feed(second, frame(0, 6, False)) == [2]


def test_a_record_after_a_hole_waits_for_its_repetition() -> None:
    held, bad = holder()
    assert feed(held, frame(0, 2, True), frame(4, 6, False), frame(2, 6, False)) == [2, 0, 4]
    assert bad == ["gap"]


def test_what_is_no_frame_is_counted_and_stops_nothing() -> None:
    held, bad = holder()
    assert feed(held, b"nonsense", frame(0, 2, True, 9), frame(0, 2, True)) == [0, 0, 2]
    assert bad == ["E_FRAME_MAGIC", "E_FRAME_KIND"]
    assert [(aside.offset, aside.code) for aside in held.take_aside()] == [
        (0, "E_FRAME_MAGIC"), (1, "E_FRAME_KIND"),
    ]  # fmt: skip


def test_features_and_labels_part() -> None:
    held, _ = holder()
    label = rows(2)
    label["label_time"] = np.array([70])
    feed(held, frame(0, 2, True), encode(Frame("events.terminal/0", 2, 3, False, Kind.LABEL, label)))
    tables = held.drain()
    assert tables["features"].num_rows == 2
    assert tables["label_log"]["event_timestamp"].cast("int64").to_pylist() == [70_000]
    assert (
        tables["features"].schema.field("event_timestamp").type
        == tables["label_log"].schema.field("created_timestamp").type
    )
    assert set(CUSTOMER.columns) <= set(tables["features"].column_names)
    assert held.drain() == {}


def test_rows_of_other_definitions_are_not_written_under_our_names() -> None:
    held, _ = holder()
    feed(held, encode(Frame("events.terminal/0", 0, 1, True, Kind.SCORED, rows(0, columns=2))))
    with pytest.raises(StateError, match="E_ARCHIVE_DEFINITIONS"):
        held.drain()


def test_a_flush_begins_at_the_first_record_even_when_it_brought_no_row() -> None:
    held, _ = holder('{"events.terminal/0":4}')
    buffer = PartitionBuffer("features.log", 0, held)
    buffer.add([Published(17, frame(0, 4, True))], now_ms=1.0)  # type: ignore[arg-type]
    assert (buffer.rows, buffer.next_offset) == (0, 18)
    assert buffer.drain() == (17, {}, None)


@pytest.mark.parametrize("kind", [0, 3, 9, 200])
def test_a_frame_of_any_kind_is_set_aside_and_the_rest_goes_on(kind: int) -> None:
    held, bad = holder()
    stranger = bytearray(frame(0, 2, True))
    stranger[4] = kind
    assert feed(held, bytes(stranger), frame(0, 2, True)) == [0, 2]
    assert bad == ["E_FRAME_KIND"]
    aside = held.take_aside()
    assert aside[0].value == bytes(stranger)
    assert json.loads(held.metadata()) == {"events.terminal/0": 2}


def test_columns_that_nobody_knows_are_left_out_of_the_lake() -> None:
    """Two strangers' types of one column would end the flush, at every start again."""
    held, _ = holder()
    some, other = rows(0), rows(1)
    some["extra"], other["extra"] = np.array([1]), np.array([b"x"])
    for at, (extra, claim) in enumerate(((some, True), (other, False))):
        data = encode(Frame("events.terminal/0", at, at + 1, claim, Kind.SCORED, extra))
        held.add([Published(at, data)])  # type: ignore[list-item]
    table = held.drain()["features"]
    assert table.num_rows == 2
    assert "extra" not in table.column_names


def test_values_of_another_width_than_their_definitions_say_are_set_aside() -> None:
    held, bad = holder()
    narrow = rows(0, columns=2) | {"customer_definitions": np.array([meaning_of(CUSTOMER).code], np.uint64)}
    assert feed(held, encode(Frame("events.terminal/0", 0, 1, True, Kind.SCORED, narrow))) == [0]
    assert bad == ["E_FRAME_TYPES"]


def test_a_batch_that_cannot_be_unpacked_is_passed_over_with_a_record_of_it() -> None:
    held, _ = holder()
    buffer = PartitionBuffer("demo.features.log", 0, held, "features.log")
    buffer.add([Published(3, frame(0, 2, True))], now_ms=1.0)  # type: ignore[list-item]
    buffer.pass_over(4, 9, now_ms=2.0)
    first, tables, aside = buffer.drain()
    assert (first, buffer.next_offset, buffer.aside_dataset) == (3, 9, "features_log_set_aside")
    assert tables["features"].num_rows == 2
    assert aside is not None
    assert aside.to_pylist() == [
        {"offset": 4, "offset_last": 8, "code": "E_UNREADABLE", "value": None,
         "reason": "the record batch cannot be unpacked"}
    ]  # fmt: skip
