"""Labels never overtake the payments before them; paced events leave at their moments."""

from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import LineRecords, Record, TableRecords, open_records
from headrace.traffic.malformed import MalformedMix, malformed_makers
from headrace.traffic.merge import due
from headrace.traffic.pacing import Pacer, at_rate
from headrace.traffic.replay import OutgoingRecords, Replay
from load.this_project import PIPELINE

PAYMENTS = forms_of(PIPELINE)["transactions"]


def going(name: str, records: "Moments") -> OutgoingRecords:
    return OutgoingRecords(name=name, topic=name, records=records, is_labels=name == "labels")


class RecordingProducer:
    """Keeps what was sent, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Record]] = []

    def send(self, topic: str, records: list[Record]) -> None:
        self.log += [(topic, record) for record in records]

    def poll(self) -> None:
        pass


class Moments:
    """Records whose value is their number."""

    def __init__(self, moment_ms: list[int]) -> None:
        self.moment_ms = np.array(moment_ms, np.int64)

    def slice(self, start: int, stop: int) -> list[Record]:
        return [(b"k", str(i).encode()) for i in range(start, stop)]

    def ids(self) -> list[str]:
        return [str(i) for i in range(len(self.moment_ms))]


def _sent(producer: RecordingProducer, topic: str) -> int:
    return sum(1 for name, _ in producer.log if name == topic)


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=60), st.lists(st.integers(0, 80), max_size=40),
    st.integers(1, 9), st.integers(1, 5),
)  # fmt: skip
def test_a_label_goes_right_behind_the_payments_before_it(
    payment_ms: list[int], label_ms: list[int], size: int, step: int
) -> None:
    payments, labels = Moments(sorted(payment_ms)), Moments(sorted(label_ms))
    producer = RecordingProducer()
    with mock.patch("headrace.traffic.replay.STEP_EVENTS", step):
        others = [going("labels", labels)]
        replay = Replay(producer, going("transactions", payments), others)  # type: ignore[arg-type]
        replay.rush(0, len(payment_ms), slice_events=size, in_flight_max=None)
    payments_before = 0
    for topic, (_, value) in producer.log:
        if topic == "transactions":
            payments_before += 1
            continue
        moment_ms = labels.moment_ms[int(value or b"")]
        earlier = int(np.searchsorted(payments.moment_ms, moment_ms, side="left"))
        assert earlier <= payments_before <= earlier + step
    sent = [int(value or b"") for topic, (_, value) in producer.log if topic == "labels"]
    assert sent == list(range(int(np.searchsorted(labels.moment_ms, payments.moment_ms[-1], side="right"))))


def test_a_replay_waits_for_what_is_under_way() -> None:
    producer, looks = RecordingProducer(), []

    def through() -> int:
        looks.append(_sent(producer, "transactions"))
        return max(0, looks[-1] - 4 + len(looks) % 3)

    lead = going("transactions", Moments(list(range(40))))
    Replay(producer, lead, (), through).rush(0, 40, 2, 5)  # type: ignore[arg-type]
    assert _sent(producer, "transactions") == 40
    assert len(looks) > 20


def test_every_due_label_is_handed_on_once_across_calls() -> None:
    moment_ms, label_ms = np.arange(0, 100, 10), np.arange(0, 120, 7)
    cuts = [(0, 3), (3, 5), (5, 7), (7, 9), (9, 10)]
    ranges = [range(*due(moment_ms, label_ms, start, stop)) for start, stop in cuts]
    assert [i for r in ranges for i in r] == list(range(int(np.searchsorted(label_ms, 90, side="right"))))


class HandClock:
    """A clock that sleeping moves, and that can jump."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_an_open_loop_catches_up_and_keeps_the_scheduled_moments() -> None:
    clock = HandClock()
    pacer = Pacer(at_rate(100, 10.0), clock, clock.sleep)
    assert pacer.due() == (0, 1)
    clock.now_s += 5.0  # a stall: the events meanwhile are due, and go at once
    assert pacer.due() == (1, 51)
    assert pacer.scheduled_s()[50] == pytest.approx(105.0)
    while pacer.due() != (100, 100):
        pass
    assert clock.now_s == pytest.approx(109.9, abs=0.01)


def test_no_event_leaves_before_it_is_due() -> None:
    clock = HandClock()
    due_s = np.sort(np.random.default_rng(0).random(500) * 3)
    pacer = Pacer(due_s, clock, clock.sleep)
    low, high = pacer.due()
    while low < high:
        assert clock.now_s - 100.0 >= due_s[high - 1] - 1e-9
        low, high = pacer.due()


def test_lines_go_out_as_they_are_and_keep_the_time_of_their_neighbours() -> None:
    lines = [b'{"transaction_id":"t1","customer_id":"c1","event_time":5}', b"{broken", b"", b'["x"]']
    records = LineRecords(lines, PAYMENTS)
    assert records.slice(0, 3) == [(b"c1", lines[0]), (b"line-2", lines[1]), (b"line-4", lines[3])]
    assert records.moment_ms.tolist() == [5, 5, 5]
    assert records.ids() == ["t1", "", ""]


def test_null_fields_are_left_out() -> None:
    table = pa.table(
        {
            "transaction_id": ["t1"],
            "customer_id": ["c1"],
            "event_time": [1],
            "ip": pa.array([None], pa.string()),
        }
    )
    assert b"ip" not in (TableRecords(table, PAYMENTS).slice(0, 1)[0][1] or b"")


def test_a_file_in_no_order_of_time_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "transaction_id": [str(i) for i in range(10)],
            "customer_id": ["c"] * 10,
            "event_time": [i % 5 * 86_400_000 * 3 for i in range(10)],
        }
    )
    pq.write_table(table, tmp_path / "mixed.parquet")
    with pytest.raises(ConfigError, match="E_INPUT_ORDER"):
        open_records(tmp_path / "mixed.parquet", PAYMENTS)


def test_malformed_records_come_in_the_share_asked_for_and_leave_good_ones_alone() -> None:
    table = pa.table(
        {
            "transaction_id": [f"t{i}" for i in range(5_000)],
            "customer_id": ["c1"] * 5_000,
            "terminal_id": ["m1"] * 5_000,
            "event_time": list(range(5_000)),
            "amount_minor": [5] * 5_000,
        }
    )
    good = TableRecords(table, PAYMENTS)
    mix = MalformedMix(good, PAYMENTS, 0.05, seed=1)
    out = [record for start in range(0, 5_000, 500) for record in mix.slice(start, start + 500)]
    malformed = sum(mix.expected.values())
    assert len(out) == 5_000 + malformed
    assert malformed / len(out) == pytest.approx(0.05, abs=0.01)
    broken = {(key, value) for key, value, _ in mix.expected}
    assert [record for record in out if record not in broken] == good.slice(0, 5_000)
    assert {code for _, _, code in mix.expected} == {code for code, _ in malformed_makers(PAYMENTS)}
