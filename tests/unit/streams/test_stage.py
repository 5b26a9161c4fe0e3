"""The stage's protocol on in-memory servers: whatever crashes when, each row comes out once, same bits."""

import json

import msgspec
import numpy as np
import pytest

from contracts.errors import StateError, Stop
from contracts.frame import Columns, Kind, concat, length, strings, take
from contracts.keys import hash64, partition_of
from contracts.lanes import LaneWriter
from load.this_project import CUSTOMER, PIPELINE
from streams.stage.changelog import restored
from streams.stage.core import Marker, StageCore
from streams.stage.dead_letters import DeadLetterTopic
from tests.stages import customer_rows, terminal_rows
from tests.unit.streams.memory_servers import HASH, MemoryStage, read_all
from tests.unit.streams.payments import events, gate_log, label_rows

START = Marker(input_offset=0, lanes={}, definitions_hash=HASH)


def customer_core() -> StageCore:
    return StageCore("events.customer/0", customer_rows(0, 2), START)


def by_target(core: StageCore, log: list[bytes], records_a_batch: int) -> dict[int, list[bytes]]:
    out: dict[int, list[bytes]] = {}
    for first in range(0, len(log), records_a_batch):
        batch = list(enumerate(log[first : first + records_a_batch], first))
        for target, data in core.batch(batch).records:
            out.setdefault(target, []).append(data)
    return out


def same(left: Columns, right: Columns) -> bool:
    """Return whether two outputs hold the same rows, bit for bit."""
    return left.keys() == right.keys() and all(
        left[name].tolist() == right[name].tolist() or left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def test_the_size_of_batches_changes_no_bit() -> None:
    log = gate_log(events(np.random.default_rng(1), 300), 60)
    one, many = by_target(customer_core(), log, 1), by_target(customer_core(), log, 7)
    assert one.keys() == many.keys() == {0, 1}
    for target in one:
        assert same(read_all(one[target]), read_all(many[target]))


@pytest.mark.parametrize("seed", range(40))
def test_crashes_lose_double_and_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = gate_log(events(rng, 200), 50)
    expected = by_target(customer_core(), log, 1)
    stage = MemoryStage(log, lambda: customer_rows(0, 2), "events.customer/0")
    for now_ms in range(0, 6000, 10):
        if rng.random() < 0.03:
            stage.crash()
        stage.step(rng, float(now_ms))
    stage.drain(10_000.0)
    assert stage.commits > 0
    assert stage.group_offset == len(log)
    for target, records in expected.items():
        assert same(read_all(stage.outputs.durable[target]), read_all(records))
    final = customer_core()
    by_target(final, log, 3)
    latest = final.rows.latest()
    for i, key in enumerate(latest.keys.tolist()):
        assert stage.store.rows[key] == (int(latest.positions[i]), latest.values[i].tobytes())


@pytest.mark.parametrize("seed", range(20))
def test_payments_and_labels_keep_one_order_through_crashes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = events(rng, 200)
    log = terminal_log(rows)
    expected = read_frames(terminal_core(), log, 1)
    stage = MemoryStage(log, lambda: terminal_rows(0, 1), "events.terminal/0")
    for now_ms in range(0, 6000, 10):
        if rng.random() < 0.03:
            stage.crash()
        stage.step(rng, float(now_ms))
    stage.drain(10_000.0)
    assert kinds(stage.outputs.durable[0]) == kinds(expected)


def terminal_core() -> StageCore:
    return StageCore("events.terminal/0", terminal_rows(0, 1), START)


def terminal_log(rows: Columns) -> list[bytes]:
    """Return one partition of events.terminal: payments of the customer stage, labels of the gate between."""
    core = StageCore("events.customer/0", customer_rows(0, 1), START)
    payments = by_target(core, gate_log(rows, 50), 1)[0]
    labels, lane = label_rows(rows, 4), LaneWriter("labels/0", 0)
    log = []
    for i, record in enumerate(payments):
        log.append(record)
        part = take(labels, slice(i, i + 1))
        if length(part):
            upto = int(part["pos"][-1]) + 1
            log += [data for _, data in lane.emit(Kind.LABEL, part, np.zeros(1, np.int32), upto)]
    return log


def read_frames(core: StageCore, log: list[bytes], records_a_batch: int) -> list[bytes]:
    return by_target(core, log, records_a_batch)[0]


def kinds(log: list[bytes]) -> list[tuple[int, bytes]]:
    """Return (position, values) of every row that a reader takes, whatever its kind."""
    from contracts.frame import decode
    from contracts.lanes import accept

    lanes: dict[str, int] = {}
    found = []
    for data in log:
        rows = accept(decode(data), lanes, lambda frame: pytest.fail(f"gap at {frame.frm}"))
        found += [
            (int(p), v.tobytes()) for p, v in zip(rows["terminal_pos"], rows["terminal_values"], strict=True)
        ]
    return found


def test_a_record_delivered_again_is_dropped_and_a_hole_stops() -> None:
    log = gate_log(events(np.random.default_rng(2), 20), 5)
    core = customer_core()
    core.batch([(0, log[0]), (1, log[1])])
    assert core.batch([(0, log[0]), (1, log[1])]).records == []
    assert core.counts.repeated_records == 2
    with pytest.raises(Stop, match="expected offset 2, got 3") as stopped:
        core.batch([(3, log[3])])
    assert stopped.value.exit_code == 73


def test_bytes_of_a_stranger_stop_nobody() -> None:
    log = gate_log(events(np.random.default_rng(3), 10), 2)
    core = customer_core()
    step = core.batch([(0, log[0]), (1, b"not a frame"), (2, log[1][:60]), (3, log[1])])
    assert core.counts.unreadable_records == 2
    assert core.input_offset == 4
    assert sum(length(read_all([data])) for _, data in step.records) > 0


def test_a_repeat_falls_out_and_other_content_is_a_dead_letter() -> None:
    rows = events(np.random.default_rng(4), 1)
    other = {**rows, "content_hash": hash64(np.array([b"other"])), "raw_offset": np.array([2])}
    again = {**rows, "raw_offset": np.array([1])}
    step = customer_core().batch(list(enumerate(gate_log(concat([rows, again, other]), 1))))
    assert [length(read_all([data])) for _, data in step.records] == [1]
    (letter,) = step.dead_letters
    record = DeadLetterTopic(PIPELINE, "", "customer", 4).record(letter)
    assert json.loads(record.value)["transaction_id"] == "t0"
    headers = dict(record.headers)
    assert headers["headrace.dlq.code"] == b"E_DUP_CONFLICT"
    assert headers["headrace.dlq.offset"] == b"2"
    assert headers["headrace.dlq.reconstructed"] == b"true"


def test_a_checkpoint_waits_for_the_store_and_outputs_do_not_wait_for_ever() -> None:
    log = gate_log(events(np.random.default_rng(5), 20), 2)
    stage = MemoryStage(log, lambda: customer_rows(0, 2), "events.customer/0")
    stage.receive()
    stage.partition.work(0.0)
    assert stage.outputs.handed == 0
    stage.partition.release(49.0)
    assert stage.outputs.handed == 0
    stage.partition.release(50.0)
    assert stage.outputs.handed > 0
    stage.outputs.land(99)
    assert stage.partition.tick(1000.0, hurry=True) is None
    stage.store.land()
    assert stage.partition.tick(1001.0, hurry=True) is not None


def test_state_of_other_definitions_is_refused() -> None:
    marker = msgspec.json.encode(START)
    with pytest.raises(StateError, match=r"E_STATE_DEFINITIONS.*backfill"):
        restored({b"M": marker}, "f" * 16, "changelog.customer/0")


DAY_MS = 86_400_000


def many_customers(count: int) -> Columns:
    """Return payments of forty customers in turn, one second apart."""
    rows = events(np.random.default_rng(3), count)
    rows["transaction_id"] = strings([f"t{n}" for n in range(count)])
    rows["customer_id"] = strings([f"c{n % 40}" for n in range(count)])
    rows["event_time"] = 1_700_000_000_000 + np.arange(count) * 1_000
    return rows


def counts_of(core: StageCore, rows: Columns) -> list[tuple[bytes, float]]:
    """Return customer and 30-day count of each payment that comes out."""
    made = read_all(by_target(core, gate_log(rows, 50), 3)[0])
    at = CUSTOMER.columns.index("customer_count_30d")
    return list(zip(made["customer_id"].tolist(), made["customer_values"][:, at].tolist(), strict=True))


def test_one_row_forty_days_ahead_empties_nobodys_windows_and_a_rebuild_brings_every_row() -> None:
    honest, rows = many_customers(1_000), many_customers(1_000)
    rows["event_time"][500] += 40 * DAY_MS
    core, right = (StageCore("events.customer/0", customer_rows(0, 1), START) for _ in range(2))
    found, due = counts_of(core, rows), counts_of(right, honest)
    whose = rows["customer_id"][500]
    assert [one for one in found if one[0] != whose] == [one for one in due if one[0] != whose]
    assert [count for name, count in found if name == whose][-12:] == [float(n) for n in range(1, 13)]
    snapshot = core.snapshot()
    again = customer_rows(0, 1)
    again.load({key: blob for key, blob in snapshot.entries if blob is not None}, snapshot.marker.extra)
    live, rebuilt = core.rows.latest(), again.latest()
    assert len(rebuilt.keys) == 40
    order, other = np.argsort(live.keys), np.argsort(rebuilt.keys)
    for ours, theirs in zip(live[:4], rebuilt[:4], strict=True):
        assert ours[order].tobytes() == theirs[other].tobytes()


def test_repeats_are_dropped_although_a_row_was_dated_ahead() -> None:
    rows = many_customers(300)
    rows["event_time"][100] += 4_000 * DAY_MS
    repeated = {name: np.concatenate([column, column[:90]]) for name, column in rows.items()}
    repeated["raw_offset"] = np.arange(390)
    core = StageCore("events.customer/0", customer_rows(0, 1), START)
    by_target(core, gate_log(repeated, 30), 2)
    assert (core.counts.rows, core.counts.repeats, core.counts.refused) == (390, 90, 0)


@pytest.mark.parametrize("partitions", [1, 4])
def test_an_id_of_two_customers_is_two_payments_on_one_partition_or_two(partitions: int) -> None:
    rows = many_customers(40)
    rows["transaction_id"] = strings(["the same"] * 40)
    rows["content_hash"] = np.arange(40, dtype=np.uint64)
    rows["raw_partition"] = partition_of(rows["customer_id"], partitions)
    made = refused = 0
    for number in range(partitions):
        mine = take(rows, rows["raw_partition"] == number)
        mine["raw_offset"] = np.arange(length(mine))
        core = StageCore(f"events.customer/{number}", customer_rows(number, 1), START)
        made += length(read_all(by_target(core, gate_log(mine, 1), 1)[0]))
        refused += core.counts.refused
    assert (made, refused) == (40, 0)
