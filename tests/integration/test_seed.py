"""A fresh deployment that begins where another run ended: no gap, no double count, the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from contracts.connections import KafkaConnection
from contracts.errors import HeadraceError
from contracts.frame import Columns, concat, length, take
from features.catalog import CUSTOMER, TERMINAL
from headrace.commands import backfill, verify
from headrace.run import Run
from headrace.supervisor import WORKERS, Supervisor
from inference.lake.lake import Lake
from inference.lake.seed_note import finished_seed, write_note
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


def assert_begun_exactly(old: Lake, run: Run, servers: RealServers) -> None:
    """Judge the run by the definition over both runs' rows, by its own commands, and by its store."""
    new = Lake(run.lake)
    for entity in (CUSTOMER, TERMINAL):
        rows, wrong = rows_differing([old, new], entity)
        assert rows > 500
        assert wrong == 0
    compared = command("--compare", "--no-write", "--json", "-")
    assert compared.exit_code == 0, compared.output
    report = json.loads(compared.stdout)
    assert report["payments_pending"] == 0
    verified = CliRunner().invoke(verify.command, ["--rows", "100000", "--json", "-"])
    assert verified.exit_code == 0, verified.output
    store = json.loads(verified.stdout)["store"]
    assert all(part["equal"] == part["keys"] > 20 for part in store.values())
    assert store_differs(redis_of(servers, run), newest_rows(old, new)) == 0


def test_a_run_seeded_from_a_lake_goes_on_where_it_ended(
    servers: RealServers, run: Run, kafka: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS", "300")
    (before, known), (after, labels), came = halves(seed=3, rows=2_000)
    old, _ = cut_lakes(
        [tmp_path / "old", tmp_path / "not"], concat([before, after]), concat([known, labels]), came, [CUT_MS]
    )
    done = command("--seed-from", str(old.folder))
    assert done.exit_code == 0, (done.output, done.exception)
    assert "send this run the payments from offsets 0@" in done.stdout
    assert refused(command("--seed-from", str(old.folder))) == "E_SEED_DONE"
    nothing = Lake(tmp_path / "none")
    assert store_differs(redis_of(servers, run), newest_rows(old, nothing)) == 0

    seed = finished_seed(run.lake)
    assert seed is not None
    write_note(run.lake, msgspec.structs.replace(seed, finished=False))
    stage = subprocess.run(
        [sys.executable, "-m", "headrace", "stream", "customer"], capture_output=True, text=True, timeout=60,
        env=dict(os.environ), check=False,
    )  # fmt: skip
    assert stage.returncode == 5, stage.stderr
    assert "E_SEED_UNFINISHED" in stage.stderr
    again = command("--seed-from", str(old.folder))
    assert again.exit_code == 0, (again.output, again.exception)
    assert finished_seed(run.lake) == seed

    repeats, conflict = across_the_cut(before)
    assert length(repeats) > 3
    subscriber = Subscriber(run, kafka)
    supervisor = Supervisor(run, WORKERS)
    try:
        supervisor.start()
        send(kafka, run.topic_prefix, concat([repeats, conflict, after]), labels)
        predictions = subscriber.until(length(after))
        lake = Lake(run.lake)
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
    assert sorted(p.transaction_id for p in predictions) == sorted(ids)
    assert sorted(lake.read("features", ["transaction_id"])["transaction_id"].to_pylist()) == sorted(ids)
    assert lake.read("transactions_dlq", ["code"])["code"].to_pylist() == ["E_DUP_CONFLICT"]
    assert_begun_exactly(old, run, servers)

    (run.lake / "seed").rename(tmp_path / "seed away")
    assert command("--compare", "--no-write").exit_code == 1
    assert CliRunner().invoke(verify.command, ["--rows", "100000"]).exit_code == 1
    assert refused(command("--seed-from", str(old.folder))) == "E_SEED_BEGUN"
