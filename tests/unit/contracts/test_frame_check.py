"""What a reader between the stages refuses: nothing of such a frame moves, and what is ours is taken."""

import numpy as np
import pytest

from contracts.frame import Columns, Frame, FrameError, Kind, encode, position
from contracts.frame_check import OFFSET_MAX, SLACK, FrameReader, Refused, _is_utf8
from contracts.lanes import LaneWriter
from contracts.raw import RawBatch
from contracts.refused_frames import refused_letter
from contracts.verdict import judge
from load.this_project import PIPELINE
from streams.stage.core import Marker, StageCore
from tests.stages import customer_rows

AT_MS = 1_700_000_000_100
DOCUMENT = (
    '{"transaction_id":"t%d","event_time":1700000000000,"customer_id":"%s","terminal_id":"m1",'
    '"amount_minor":100,"currency":"EUR"}'
)
SRC = "transactions/0"


def good(count: int = 1, first: int = 0, customer: str = "c1") -> Columns:
    records = [
        (0, first + i, AT_MS, customer.encode(), (DOCUMENT % (first + i, customer)).encode(), None)
        for i in range(count)
    ]
    return judge(PIPELINE.scored, RawBatch.of(records)).good


def frame(rows: Columns, frm: int = 0, to: int = position(10), claim: bool = True, src: str = SRC,
          kind: int = Kind.SCORED) -> bytes:  # fmt: skip
    return encode(Frame(src, frm, to, claim, kind, rows))


def core() -> StageCore:
    marker = Marker(input_offset=0, lanes={}, definitions_hash="x")
    return StageCore("events.customer/0", customer_rows(0, 4), marker)


class Ends:
    """Inputs that end where a test says."""

    def __init__(self, **ends: int) -> None:
        self.ends, self.known, self.asked = ends, dict[str, int](), 0

    def seen(self, src: str) -> int:
        return self.known.get(src, 0)

    def now(self, src: str) -> int | None:
        self.asked += 1
        topic, _, number = src.rpartition("/")
        if number != "0" or topic not in self.ends:
            return None
        self.known[src] = self.ends[topic]
        return self.known[src]


def refused_by(data: bytes, code: str) -> None:
    """See that a stage refuses a record, keeps it, and goes on as if it had never come."""
    stage, untouched = core(), core()
    step = stage.batch([(0, data)])
    assert [(one.offset, one.code, one.value) for one in step.refused] == [(0, code, data)]
    assert (step.records, step.dead_letters, stage.lanes) == ([], [], {})
    assert stage.counts.refused_frames == {code: 1}
    assert stage.input_offset == 1
    untouched.input_offset = 1
    after = frame(good(3))
    assert stage.batch([(1, after)]).records == untouched.batch([(1, after)]).records


@pytest.mark.parametrize("name", [name for name in good() if name != "traceparent"])
def test_a_column_of_another_type_is_refused(name: str) -> None:
    rows = good()
    rows[name] = np.array([7], np.int64) if rows[name].dtype.kind == "S" else np.array([b"zz"])
    refused_by(frame(rows), "E_FRAME_TYPES")


@pytest.mark.parametrize("name", list(good()))
def test_a_column_of_another_shape_is_refused(name: str) -> None:
    rows = good()
    if rows[name].dtype.kind != "S":
        rows[name] = np.stack([rows[name], rows[name]], 1)
    else:
        rows[name] = np.array([b"c" * 257])
    refused_by(frame(rows), "E_FRAME_TYPES")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event_time", np.array([1.7e12])), ("amount_minor", np.array([np.nan])),
        ("event_time", np.array([-1], np.int32)), ("raw_partition", np.array([0], np.int64)),
    ],
)  # fmt: skip
def test_numbers_of_another_kind_are_refused(name: str, value: np.ndarray) -> None:
    refused_by(frame(good() | {name: value}), "E_FRAME_TYPES")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event_time", -(2**63)), ("event_time", -1), ("event_time", 2**62), ("event_time", 2**63 - 1),
        ("amount_minor", -5), ("amount_minor", 2**63 - 1), ("raw_offset", -1), ("raw_offset", 2**50),
        ("raw_partition", -1), ("raw_partition", 2**31 - 1), ("appended_ms", 2**60),
        ("pos", -1), ("pos", position(10)), ("customer_id", b"\xff\xfe"), ("customer_id", b""),
        ("transaction_id", b"a\0b"), ("currency", b"\xed\xa0\x80"), ("terminal_id", b"\xc3"),
    ],
)  # fmt: skip
def test_what_no_writer_puts_into_a_column_is_refused(name: str, value: int | bytes) -> None:
    rows = good()
    column = rows[name]
    kept = np.array([value]) if isinstance(value, bytes) else np.array([value], column.dtype)
    refused_by(frame(rows | {name: kept if kept.dtype.itemsize else kept.astype("S1")}), "E_FRAME_RANGE")


def test_positions_out_of_order_are_refused() -> None:
    rows = good(3)
    rows["pos"] = rows["pos"][::-1].copy()
    refused_by(frame(rows), "E_FRAME_RANGE")


def test_text_beyond_ascii_is_taken() -> None:
    stage = core()
    assert stage.batch([(0, frame(good(2, customer="Ж-汉-😀")))]).refused == []
    assert stage.counts.rows == 2


NAMES = (
    "stranger/0", "transactions/00", "transactions/-1", "transactions/1000", "labels/0", "transactions/0 ",
    "transactions", "/0", "transactions/٣", "",
)  # fmt: skip


@pytest.mark.parametrize("src", NAMES)
def test_a_lane_of_another_name_is_refused(src: str) -> None:
    if not src.isascii():
        data = frame(good(), src="x" * len(src.encode())).replace(b"x" * len(src.encode()), src.encode())
    else:
        data = frame(good(), src=src)
    refused_by(data, "E_FRAME_LANE")


@pytest.mark.parametrize("kind", [0, 3, 4, 9, 255])
def test_rows_of_a_kind_that_does_not_come_here_are_refused(kind: int) -> None:
    refused_by(frame(good(), kind=kind), "E_FRAME_KIND")


@pytest.mark.parametrize("name", ["pos", "content_hash", "currency"])
def test_a_frame_without_a_column_is_refused(name: str) -> None:
    data = frame(good())
    refused_by(data.replace(name.encode() + b":", b"x" * len(name) + b":"), "E_FRAME_TYPES")


@pytest.mark.parametrize(
    ("frm", "to"),
    [(2**62, 2**62 + 5), (-5, position(10)), (position(5), position(4)), (0, 2**63 - 1),
     (position(OFFSET_MAX), position(OFFSET_MAX) + 1)],
)  # fmt: skip
def test_positions_that_no_input_can_hold_are_refused(frm: int, to: int) -> None:
    refused_by(frame(good(), frm, to), "E_FRAME_JUMP")


def test_a_claim_beyond_the_end_of_the_lanes_input_is_refused() -> None:
    """A small record that claims all below a far position used to silence its lane for good."""
    ends = Ends(transactions=50)
    reader, lanes = FrameReader("events.customer", PIPELINE, ends=ends), {SRC: position(10)}
    with pytest.raises(FrameError, match="E_FRAME_JUMP"):
        reader.read(frame(good(first=50), position(50), position(51)), lanes)
    assert lanes == {SRC: position(10)}
    assert reader.read(frame(good(first=49), position(49), position(50)), lanes).to == position(50)


def test_an_input_that_never_had_a_record_says_nothing() -> None:
    """A log that was filled without its input, as a copy is, can be read; what no input can hold cannot."""
    ends = Ends(transactions=0)
    reader, lanes = FrameReader("events.customer", PIPELINE, ends=ends), dict[str, int]()
    for first in range(0, 10 * SLACK, SLACK):
        data = frame(good(first=first), position(first), position(first + SLACK), claim=not first)
        lanes[SRC] = reader.read(data, lanes).to
    assert ends.asked == 1
    with pytest.raises(FrameError, match="E_FRAME_JUMP"):
        reader.read(frame(good(), 2**62, 2**62 + 5), {})


def test_a_lane_whose_input_is_not_there_is_refused() -> None:
    reader = FrameReader("events.customer", PIPELINE, ends=Ends(transactions=50))
    with pytest.raises(FrameError, match="E_FRAME_LANE"):
        reader.read(frame(good(), src="transactions/7"), {})


def test_an_end_is_asked_for_once_in_a_while_and_whenever_somebody_claims() -> None:
    ends = Ends(transactions=1_000_000)
    reader, lanes = FrameReader("events.customer", PIPELINE, ends=ends), dict[str, int]()
    for first in range(100):
        data = frame(good(first=first), position(first), position(first + 1), claim=first == 0)
        lanes[SRC] = reader.read(data, lanes).to
    assert ends.asked == 1
    ends.known[SRC] = 100  # as a reader that has caught up: the end runs ahead of what it saw last
    for first in range(100, 100 + 2 * SLACK, 64):
        ends.ends["transactions"] = first + 64
        lanes[SRC] = reader.read(frame(good(first=first), lanes[SRC], position(first + 64), False), lanes).to
    assert ends.asked == 1 + (2 * SLACK - 1) // (SLACK + 64)
    at = lanes[SRC] >> 20
    far = frame(good(first=at), lanes[SRC], position(at + 2 * SLACK), claim=False)
    with pytest.raises(FrameError, match="E_FRAME_JUMP"):
        reader.read(far, lanes)


def test_a_writer_may_claim_what_was_routed_elsewhere_for_long() -> None:
    """A lane that had nothing for a million records goes on where its writer stands."""
    reader = FrameReader("events.customer", PIPELINE, ends=Ends(transactions=1_000_001))
    lane = LaneWriter(SRC, position(1_000_000))
    rows = good(first=1_000_000)
    ((_, data),) = lane.emit(Kind.SCORED, rows, np.zeros(1, np.int32), position(1_000_001))
    assert reader.read(data, {SRC: position(3)}).frm == position(1_000_000)


def test_thousands_of_invented_lanes_leave_the_marker_as_it_was() -> None:
    stage = core()
    for offset in range(5000):
        stage.batch([(offset, frame(good(), src=f"s{offset}/0"))])
    assert stage.lanes == {}
    assert stage.counts.refused_frames == {"E_FRAME_LANE": 5000}


def test_a_refused_record_is_kept_as_a_letter_with_its_bytes() -> None:
    refused = Refused("events.customer", 1, 7, "E_FRAME_JUMP", "why", b"x" * 2_000_000)
    key, value, headers = refused_letter(refused, "customer")
    assert (key, value) == (b"events.customer/1/7", None)
    assert ("headrace.dlq.copied", b"no") in headers


def test_the_compiled_utf8_is_pythons() -> None:
    rng = np.random.default_rng(3)
    parts = [b"a", "é".encode(), "汉".encode(), "😀".encode(), b"\xed\xa0\x80", b"\xc0\x80"]
    parts += [b"\xf4\x90\x80\x80", b"\xe0\x80", b"\xf0\x8f", b"\x80", b"\xff"]
    for _ in range(5000):
        data = b"".join(parts[i] for i in rng.integers(0, len(parts), rng.integers(0, 4)))
        try:
            right = data.decode() is not None
        except UnicodeDecodeError:
            right = False
        assert _is_utf8(np.frombuffer(data, np.uint8)) == right, data
