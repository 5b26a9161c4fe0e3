"""The bound on a stage's state: said when it is near, kept by a coded stop, also while a restore reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from contracts.connections import KafkaConnection
from contracts.errors import StateError
from contracts.frame import Kind, strings
from headrace.runbook import entry
from load.this_project import PROJECT
from runtime import ending, kafka_clients
from runtime.health import Health
from runtime.memory import memory_limit
from streams.stage.changelog import ChangelogReader
from streams.stage.core import StageRows
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.state_limit import MIB, StateLimit
from tests.unit.streams.payments import events
from tests.unit.streams.test_stage_worker import Bench, Ended, log, run

KAFKA = KafkaConnection(bootstrap_servers="nowhere")
CUSTOMERS = 6000


def new_rows(stage: str = "customer") -> StageRows:
    return StageDefinition(stage_of(PROJECT, stage), "", 1).rows(0)


def stored(customers: int = CUSTOMERS, payments: int = 2 * CUSTOMERS) -> dict[bytes, bytes]:
    """Return the changelog's entries of a customer partition in which payments met so many customers."""
    rows, arrived = new_rows(), events(np.random.default_rng(3), payments)
    names = [f"customer-{i % customers:06}" for i in range(payments)]
    arrived |= {"customer_id": strings(names), "pos": np.arange(payments)}
    rows.apply([(Kind.SCORED, arrived)])
    return {key: value for key, value in rows.take_dirty() if value is not None}


def limit(mib: int, **given: Any) -> StateLimit:
    return StateLimit("customer", mib, Health().part("state", 30.0), **given)


class Message:
    """A record of a changelog."""

    def __init__(self, key: bytes, value: bytes) -> None:
        self._key, self._value = key, value

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value


class Consumer:
    """Gives records a hundred at a time; they never end."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.left: Iterator[tuple[bytes, bytes]] = iter(entries.items())
        self.given = 0

    def assign(self, _partitions: object) -> None:
        """Take the partition."""

    def unassign(self) -> None:
        """Give it back."""

    def poll(self, _timeout_s: float) -> Message:
        self.given += 1
        return Message(*next(self.left))

    def consume(self, _most: int, _timeout_s: float) -> list[Message]:
        return [self.poll(0) for _ in range(99)]


def test_a_flood_of_new_keys_ends_with_a_code_before_the_kernel_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no checkpoint covers is not acknowledged, so the successor reads it again."""
    bench = Bench(tmp_path)
    ended: list[ending.HeadraceError] = []

    def leave(error: ending.HeadraceError, _cause: object = None) -> None:
        ended.append(error)
        raise Ended(error.exit_code)

    monkeypatch.setattr(ending, "end", leave)
    records = log(9)

    async def scenario() -> None:
        await bench.receive(records[:3])
        await bench.checkpoint()
        bench.worker._limit.most = bench.core.rows.used_bytes + 1
        bench.worker._next_gauge_ms = 0
        bench.worker.tick(hurry=False)
        assert bench.health.report()["parts"]["state"]["why"].startswith("state holds")
        await bench.receive(records[3:])
        bench.worker._next_gauge_ms = 0
        await bench.worker.run_timer(lambda: False)

    run(scenario)
    assert [error.code for error in ended] == ["E_STATE_LIMIT"]
    assert "HEADRACE_STAGE_STATE_MIB_MAX" in ended[0].next_step
    assert bench.changelog.committed == [3]
    assert bench.acks == [0, 1, 2]
    assert "new keys" in entry("E_STATE_LIMIT").do


def test_a_bound_that_is_near_is_said_once_and_taken_back() -> None:
    health = Health()
    bound = StateLimit("customer", 10, health.part("state", 30.0))
    with capture_logs() as said:
        for held in (7 * MIB, 8 * MIB, 9 * MIB):
            assert bound.look({0: held - MIB, 1: MIB}) == held
    assert [line["event"] for line in said] == ["state_near_limit"]
    assert health.report()["status"] == "stale"
    bound.drop([1])
    bound.look({0: 7 * MIB})
    assert health.report()["status"] == "ok"
    with pytest.raises(StateError, match="E_STATE_LIMIT"):
        bound.look({0: 7 * MIB, 2: 3 * MIB})


def test_without_a_setting_the_bound_is_a_share_of_what_the_process_may_use() -> None:
    assert 100 * limit(0).most == pytest.approx(30 * memory_limit(), rel=1e-6)


def test_a_restore_that_does_not_fit_is_refused_before_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = stored()
    consumer = Consumer(entries)
    monkeypatch.setattr(kafka_clients, "Consumer", lambda _: consumer)
    look = limit(1).look_at_restore(3, new_rows())
    with pytest.raises(StateError, match=r"E_STATE_LIMIT: .* entries read so far need .*customer/3"):
        ChangelogReader(KAFKA).read("changelog.customer", 3, look)
    assert consumer.given < len(entries) * 0.7


def test_a_restore_for_which_no_memory_is_free_is_refused() -> None:
    entries = stored(100, 100)
    limit(1, free=lambda: MIB).look_at_restore(0, new_rows())(entries, MIB)
    with pytest.raises(StateError, match=r"E_STATE_LIMIT.*0\.0 MiB of memory are free"):
        limit(1, free=lambda: 1000).look_at_restore(0, new_rows())(entries, MIB)


def test_other_partitions_count_and_one_that_was_revoked_does_not() -> None:
    bound = limit(10)
    bound.look({0: 6 * MIB})
    with pytest.raises(StateError, match=r"the other partitions hold 6\.0 MiB"):
        bound.restored(1, 5 * MIB)
    bound.drop([0, 1])
    bound.restored(1, 5 * MIB)
    assert bound.look({}) == 5 * MIB


@pytest.mark.parametrize("payments_each", [1, 2, 40])
def test_the_estimate_of_a_restore_is_no_more_than_what_it_then_takes(payments_each: int) -> None:
    """A restore that fits is never refused, and one that is far too large is not read to its end."""
    entries = stored(1000, 1000 * payments_each)
    rows = new_rows()
    needed = rows.loaded_bytes(entries)
    rows.load(entries, {})
    assert 0.5 * rows.used_bytes < needed <= rows.used_bytes


def test_what_is_in_use_grows_with_the_keys_and_not_with_the_room_for_more() -> None:
    few, many = new_rows(), new_rows()
    few.load(stored(1000, 1000), {})
    many.load(stored(2000, 2000), {})
    assert many.used_bytes == pytest.approx(2 * few.used_bytes, rel=0.2)
