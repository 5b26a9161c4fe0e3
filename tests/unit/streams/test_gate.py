"""The gate's core on an in-memory log: routing, lanes, restarts."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import Stop
from contracts.frame import Columns, Frame, concat, decode, length, position
from contracts.keys import partition_of
from contracts.lanes import Lanes, accept
from contracts.raw import UNREADABLE, Headers, RawBatch
from load.this_project import PIPELINE
from streams.gate.core import GateCore
from streams.gate.letters import COPIED_BYTES_MAX
from streams.gate.outgoing import Outgoing

AT = 1_700_000_000_000
PARTITIONS = 4
Record = tuple[int, int, int, bytes | None, bytes | None, None]


def record(partition: int, offset: int, *, good: bool = True) -> Record:
    """Return a payment at a place of the log."""
    customer = f"c{offset % 13}"
    payment = {
        "transaction_id": f"t{partition}-{offset}", "event_time": AT, "customer_id": customer,
        "terminal_id": "m1", "amount_minor": offset, "currency": "EUR",
    }  # fmt: skip
    value = json.dumps(payment).encode()
    return partition, offset, AT, customer.encode(), value if good else value[:-1], None


def core(base: int = 0, partitions: int = 2) -> GateCore:
    """Return a core that owns partitions of `transactions` from an offset on."""
    gate = GateCore(PIPELINE, PARTITIONS)
    for partition in range(partitions):
        gate.assign("transactions", partition, base)
    return gate


def headers(letter: Outgoing) -> dict[str, str]:
    """Return a letter's headers as text."""
    return {name: (value or b"").decode() for name, value in letter.headers or []}


def frames(records: list[Outgoing]) -> list[tuple[int, Frame]]:
    """Return the frames among outgoing records, with their target partitions."""
    return [(r.partition, decode(r.value or b"")) for r in records if r.topic == "events.customer"]


def read(records: list[Outgoing]) -> list[Columns]:
    """Read as a stage does: one lane number a source and target partition."""
    lanes: dict[int, Lanes] = {}

    def no_gap(frame: Frame) -> None:
        pytest.fail(f"{frame.src} leaves a hole before {frame.frm}")

    return [accept(frame, lanes.setdefault(target, {}), no_gap) for target, frame in frames(records)]


def test_a_row_goes_to_its_customers_partition_with_its_origin() -> None:
    sent = core().process("transactions", RawBatch.of([record(1, offset) for offset in range(50)])).records
    for target, frame in frames(sent):
        assert (partition_of(frame.rows["customer_id"], 4) == target).all()
        assert (frame.rows["pos"] == [position(offset) for offset in frame.rows["raw_offset"]]).all()
        assert set(frame.rows["raw_partition"].tolist()) == {1}
        assert (frame.src, frame.frm, frame.to, frame.claim) == ("transactions/1", 0, position(50), True)


def test_a_refused_record_keeps_its_bytes_and_says_where_it_was() -> None:
    own: Headers = [("a", b"1"), ("headrace.dlq.code", b"forged")]
    bad = (0, 7, AT, None, b'{"x":', own)
    (letter,) = core().process("transactions", RawBatch.of([bad])).records
    assert (letter.topic, letter.partition, letter.key, letter.value) == (
        "transactions.dlq",
        0,
        None,
        b'{"x":',
    )
    facts = headers(letter)
    assert facts.items() >= {
        "a": "1", "headrace.dlq.code": "E_KEY_NULL", "headrace.dlq.topic": "transactions",
        "headrace.dlq.partition": "0", "headrace.dlq.offset": "7", "headrace.dlq.timestamp": str(AT),
        "headrace.dlq.contract": "headrace-transactions", "headrace.dlq.contract_version": "1.1.0",
        "headrace.dlq.stage": "gate", "headrace.dlq.src": "transactions/0", "headrace.dlq.frm": "0",
        "headrace.dlq.to": str(position(8)), "headrace.dlq.claim": "1",
    }.items()  # fmt: skip


def test_null_stays_null_and_empty_stays_empty() -> None:
    batch = RawBatch.of(
        [(0, 0, AT, None, None, None), (0, 1, AT, b"", b"", None), (0, 2, AT, b"c", b"", UNREADABLE)]
    )
    letters = core().process("transactions", batch).records
    assert [(letter.key, letter.value) for letter in letters] == [(None, None), (b"", b""), (b"c", b"")]


def test_a_record_too_large_to_copy_leaves_a_pointer() -> None:
    (letter,) = (
        core().process("transactions", RawBatch.of([(0, 0, AT, b"k", b"x" * COPIED_BYTES_MAX, None)])).records
    )
    assert letter.value is None
    assert headers(letter)["headrace.dlq.copied"] == "no"


def test_an_offset_that_comes_again_in_one_incarnation_stops_it() -> None:
    gate = core()
    gate.process("transactions", RawBatch.of([record(0, 5)]))
    with pytest.raises(Stop) as stop:
        gate.process("transactions", RawBatch.of([record(0, 5)]))
    assert stop.value.exit_code == 72


Life = tuple[int, int, int]  # records read, of which acknowledged, records a batch
LIVES = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30), st.integers(1, 15)), max_size=5)


@given(LIVES)
@settings(deadline=None)  # a busy machine is no fault
def test_crashes_and_restarts_lose_and_double_nothing(lives: list[Life]) -> None:
    """An incarnation ends anywhere; the next begins at any offset that may have been committed."""
    log = [record(0, offset, good=bool(offset % 5)) for offset in range(60)]
    sent: list[Outgoing] = []
    committed = 0
    for length_read, acknowledged, step in [*lives, (60, 60, 7)]:
        end = min(committed + length_read, len(log))
        sent += incarnation(log, committed, end, step)
        committed = min(committed + acknowledged, end)
    rows = concat(read(sent))
    assert sorted(rows["raw_offset"].tolist()) == [offset for offset in range(60) if offset % 5]
    letters = {
        headers(letter)["headrace.dlq.offset"] for letter in sent if letter.topic == "transactions.dlq"
    }
    assert letters == {str(offset) for offset in range(0, 60, 5)}


def incarnation(log: list[Record], begin: int, end: int, step: int) -> Iterator[Outgoing]:
    """Yield what one incarnation sends while it reads [begin, end), `step` records a batch."""
    gate = core(base=begin, partitions=1)
    for first in range(begin, end, step):
        yield from gate.process("transactions", RawBatch.of(log[first : min(first + step, end)])).records


def test_a_reader_sees_each_customer_in_log_order() -> None:
    gate = core()
    sent = []
    for first in range(0, 100, 10):
        batch = [record(partition, offset) for offset in range(first, first + 10) for partition in (0, 1)]
        sent += gate.process("transactions", RawBatch.of(batch)).records
    for rows in read(sent):
        assert length(rows)
        assert (np.diff(rows["pos"]) > 0).all()


def test_a_letter_for_unreadable_records_points_at_all_of_them() -> None:
    gate = core()
    gate.process("transactions", RawBatch.of([record(0, 0, good=False)]))
    letter = gate.unreadable("transactions", 0, (1, 9))
    assert headers(letter)["headrace.dlq.offset_last"] == "8"
    assert headers(letter)["headrace.dlq.frm"] == str(position(1))
    assert headers(letter)["headrace.dlq.to"] == str(position(9))
    assert (letter.key, letter.value) == (None, None)
