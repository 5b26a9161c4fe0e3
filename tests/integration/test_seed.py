"""A fresh deployment that begins where another run ended: no gap, no double count, the same bits."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from click.testing import CliRunner, Result

from contracts import store_sentinel
from contracts.connections import KafkaConnection
from contracts.errors import HeadraceError
from contracts.frame import Columns, concat, length, take
from feature_repo.generate import workload
from feature_repo.generator.payments import generate
from headrace import topics_admin
from headrace.commands import backfill, verify
from headrace.supervisor import Supervisor
from inference.offline.lake.beginning import beginning
from inference.offline.lake.lake import Lake
from load.bench.quick_model import promote_quick_model
from load.this_project import CUSTOMER, PROJECT, TERMINAL
from runtime.redis_socket import RedisSocket
from runtime.run import Run
from streams.stage.seeding import Seeding
from streams.store.sentinel import Sentinel
from tests.integration.scorer_harness import Subscriber
from tests.integration.seeded_run import newest_rows, rows_differing, send
from tests.integration.test_stages import redis_of, store_differs
from tests.real_servers import RealServers
from tests.seed_lakes import BEGIN_MS, DAY_MS, cut_lakes, sparse_events
from tests.waiting import until

pytestmark = [
    pytest.mark.integration, pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # fmt: skip
CUT_MS = BEGIN_MS + 60 * DAY_MS
REPEATS = 12


def headrace(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "headrace", *words], capture_output=True, text=True, timeout=240,
        env=dict(os.environ), check=False,
    )  # fmt: skip


def command(*words: str) -> Result:
    """Run `headrace backfill` in this process."""
    return CliRunner().invoke(backfill.command, ["--workers", "1", *words])


def refused(done: Result) -> str:
    """Return the code that a command was refused with."""
    assert isinstance(done.exception, HeadraceError), (done.output, done.exception)
    return done.exception.code


def halves(seed: int, rows: int) -> tuple[tuple[Columns, Columns], tuple[Columns, Columns], Columns]:
    """Return payments and labels before the cut and after it, and when all payments came."""
    payments, labels, came = sparse_events(seed, rows)
    paid, known = came["appended_ms"] < CUT_MS, labels["label_time"] < CUT_MS
    first, second = (take(payments, paid), take(labels, known)), (take(payments, ~paid), take(labels, ~known))
    return first, second, came


def across_the_cut(payments: Columns) -> tuple[Columns, Columns]:
    """Return the last payments before the cut once more, and one of their ids with another amount."""
    young = np.flatnonzero(payments["event_time"] > CUT_MS - DAY_MS // 2)
    conflict = take(payments, young[:1])
    conflict["amount_minor"] = conflict["amount_minor"] + 1
    return take(payments, young[1 : 1 + REPEATS]), conflict


def archived(lake: Lake, dataset: str) -> int:
    return lake.read(dataset, ["offset"]).num_rows if lake.has(dataset) else 0


def dies_in_the_middle() -> Callable[..., None]:
    """Return `Seeding.write`, which fails when some partitions of a stage are written and others not."""
    calls, write = itertools.count(), Seeding.write

    def dies(*given: Any) -> None:
        if next(calls) == 6:
            raise RuntimeError("in the middle")
        write(*given)

    return dies


def says_whole(servers: RealServers, run: Run) -> bool:
    """Tell whether the store's sentinels say that every partition's rows are there."""
    connection = RedisSocket(redis_of(servers, run), 2.0, 5.0)
    try:
        sentinels = [Sentinel(run.project, stage, run.epoch) for stage in ("customer", "terminal")]
        for sentinel in sentinels:
            sentinel.meet(connection)
        return all(s.is_whole(connection, p) for s in sentinels for p in range(run.partitions))
    finally:
        connection.close()


def rows_of_store(servers: RealServers, run: Run) -> dict[bytes, dict[bytes, bytes]]:
    """Return every row of the run's database as bytes, with its tiles, without the sentinels."""
    client = redis.Redis.from_url(f"{servers.redis_url}/{run.redis_db}")
    sentinel = store_sentinel.key(run.project).encode()
    found = {key: dict(client.hgetall(key)) for key in client.scan_iter(count=1000) if key != sentinel}
    client.close()
    return found


def assert_begun_exactly(old: Lake, run: Run, servers: RealServers, was_flushed: bool = False) -> None:
    """Judge the run by the definition over both runs' rows, by its own commands, and by its store.

    Keys that have been forgotten are not written again to a store that `was_flushed`.
    """
    new = Lake(run.lake, PROJECT)
    for entity in (CUSTOMER, TERMINAL):
        rows, wrong = rows_differing([old, new], entity)
        assert rows > 500
        assert wrong == 0
    compared = command("--compare", "--no-write", "--json", "-")
    assert compared.exit_code == 0, compared.output
    report = json.loads(compared.stdout)
    assert report["records_pending"] == 0
    verified = CliRunner().invoke(verify.command, ["--rows", "100000", "--json", "-"])
    assert verified.exit_code == 0, verified.output
    store = json.loads(verified.stdout)["store"]
    for part in store.values():
        assert part["keys"] > 20
        assert part["equal"] + (part["absent"] if was_flushed else 0) == part["keys"]
    assert store_differs(redis_of(servers, run), newest_rows(old, new)) == 0


def test_a_run_seeded_from_a_lake_goes_on_where_it_ended(
    servers: RealServers, run: Run, kafka: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS", "300")
    (before, known), (after, labels), came = halves(seed=3, rows=2_000)
    old, _ = cut_lakes(
        [tmp_path / "old", tmp_path / "not"], concat([before, after]), concat([known, labels]), came, [CUT_MS]
    )
    with monkeypatch.context() as patched:
        patched.setattr(Seeding, "write", dies_in_the_middle())
        assert isinstance(command("--seed-from", str(old.folder)).exception, RuntimeError)
    stage = headrace("stream", "customer")
    assert stage.returncode == 5, stage.stderr
    assert "E_SEED_UNFINISHED" in stage.stderr
    assert refused(command("--compare")) == "E_SEED_UNFINISHED"

    done = command("--seed-from", str(old.folder))
    assert done.exit_code == 0, (done.output, done.exception)
    assert "send this run the records of transactions from offsets 0@" in done.stdout
    assert store_differs(redis_of(servers, run), newest_rows(old, Lake(tmp_path / "none", PROJECT))) == 0
    assert says_whole(servers, run)
    assert refused(command("--seed-from", str(old.folder))) == "E_SEED_DONE"

    repeats, conflict = across_the_cut(before)
    assert length(repeats) > 3
    subscriber = Subscriber(run, kafka)
    supervisor = Supervisor(run)
    try:
        supervisor.start()
        send(kafka, run.topic_prefix, concat([repeats, conflict, after]), labels)
        predictions = subscriber.until(length(after))
        lake = Lake(run.lake, PROJECT)
        for dataset, rows in (
            ("features", length(after)), ("label_log", length(labels)), ("transactions_dlq", 1),
            ("transactions", length(after) + length(repeats) + 1), ("labels", length(labels)),
        ):  # fmt: skip
            until(lambda d=dataset, n=rows: archived(lake, d) >= n, timeout_s=30, what=dataset, every_s=0.2)
        assert refused(command("--seed-from", str(old.folder))) == "E_SEED_DONE"
    finally:
        supervisor.stop()
        subscriber.close()
    ids = [name.decode() for name in after["transaction_id"].tolist()]
    assert sorted(p.event_id for p in predictions) == sorted(ids)
    assert sorted(lake.read("features", ["transaction_id"])["transaction_id"].to_pylist()) == sorted(ids)
    assert lake.read("transactions_dlq", ["code"])["code"].to_pylist() == ["E_DUP_CONFLICT"]
    assert_begun_exactly(old, run, servers)

    (run.lake / "seed").rename(tmp_path / "seed away")
    assert command("--compare", "--no-write").exit_code == 1
    assert CliRunner().invoke(verify.command, ["--rows", "100000"]).exit_code == 1
    assert refused(command("--seed-from", str(old.folder))) == "E_SEED_BEGUN"


@contextmanager
def working(run: Run) -> Iterator[Supervisor]:
    """Run all workers of a run."""
    supervisor = Supervisor(run)
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()


def awaited(supervisor: Supervisor, lake: Lake, expected: dict[str, int]) -> None:
    """Keep the workers running until the lake holds as many rows of each dataset."""

    def there() -> bool:
        supervisor.check()
        return all(archived(lake, dataset) >= rows for dataset, rows in expected.items())

    until(there, timeout_s=120, what=f"{expected} in {lake.folder}", every_s=0.3)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_real_runs_are_one(
    servers: RealServers, run: Run, kafka: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS", "300")
    (before, known), (after, labels), _ = halves(seed=11, rows=6_000)
    old = Lake(run.lake, PROJECT)
    own = take(before, np.arange(50, 60))
    with working(run) as supervisor:
        send(kafka, run.topic_prefix, concat([take(before, slice(0, 60)), own]), take(known, slice(0, 0)))
        send(kafka, run.topic_prefix, take(before, slice(60, None)), known)
        counts = {"features": length(before), "label_log": length(known), "labels": length(known)}
        awaited(supervisor, old, counts | {"transactions": length(before) + length(own)})

    fresh = Run.create(tmp_path, f"{run.name}b", redis_db=run.redis_db)
    monkeypatch.setenv("HEADRACE_RUN", str(fresh.home))
    topics_admin.ensure(kafka, fresh.topic_prefix)
    done = headrace("backfill", "--seed-from", str(run.lake), "--json", "-")
    assert done.returncode == 0, done.stderr
    bounds = json.loads(done.stdout)["bounds"]
    assert sum(bounds["raw_before"]["transactions"].values()) == length(before) + length(own)
    assert says_whole(servers, fresh)
    seeded = rows_of_store(servers, fresh)  # with rows of the old epoch, of keys that are forgotten
    lake = Lake(fresh.lake, PROJECT)
    live = sum(
        len(beginning(lake, entity, partition))
        for entity in (CUSTOMER, TERMINAL)
        for partition in range(fresh.partitions)
    )
    assert 50 < live < len(seeded)
    promote_quick_model(fresh.models, generate(replace(workload("bank"), events=2_000)), rows=2_000)
    repeats, conflict = across_the_cut(before)
    subscriber = Subscriber(fresh, kafka)
    try:
        with working(fresh) as supervisor:
            client = redis.Redis.from_url(f"{servers.redis_url}/{fresh.redis_db}")
            client.flushdb()
            until(
                lambda: len(rows_of_store(servers, fresh)) == live, timeout_s=30, what="the seed is back",
                every_s=0.5,
            )  # fmt: skip
            assert all(seeded[key] == row for key, row in rows_of_store(servers, fresh).items())
            send(kafka, fresh.topic_prefix, concat([repeats, conflict, after]), labels)
            for stage in ("customer", "terminal"):
                process = supervisor.of_kind(("stream", stage))[0].process
                assert process is not None
                process.kill()
            counts = {"features": length(after), "label_log": length(labels), "labels": length(labels)}
            counts |= {"transactions": length(after) + length(repeats) + 1, "transactions_dlq": 1}
            awaited(supervisor, lake, counts)
            predictions = subscriber.until(length(after))
            client.flushdb()
            expected = newest_rows(old, lake)
            until(
                lambda: store_differs(redis_of(servers, fresh), expected) == 0, timeout_s=30,
                what="the store is whole after a flush", every_s=1.0,
            )  # fmt: skip
            client.close()
            (fresh.lake / "seed").rename(tmp_path / "seed")
            running = headrace("backfill", "--seed-from", str(run.lake))
            assert (running.returncode, "E_SEED_RUNNING" in running.stderr) == (4, True), running.stderr
            (tmp_path / "seed").rename(fresh.lake / "seed")
        assert sorted(p.event_id for p in predictions) == sorted(
            name.decode() for name in after["transaction_id"].tolist()
        )
        assert all(p.model is not None and p.score is not None for p in predictions)
        assert_begun_exactly(old, fresh, servers, was_flushed=True)
        refusal = headrace("backfill", "--seed-from", str(run.lake))
        assert refusal.returncode == 5
        assert "E_SEED_DONE" in refusal.stderr
        replayed = headrace("replay", "--all", "200", "--json")
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    finally:
        subscriber.close()
        topics_admin.delete(kafka, fresh.topic_prefix)
