"""History from files, then the stream: each later event is decided once, with the features of both."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from contracts.connections import KafkaConnection
from features.project.load import run_file
from features.project.running import RunningProject, project_of_process
from features.seeded import IMPORTED
from headrace import topics_admin
from headrace.run_project import admit_project
from headrace.supervisor import Supervisor
from inference.offline.lake.lake import Lake
from inference.offline.lake.seed_note import read_seed
from load.chaos.collect import declared
from load.oracle.bits import same
from load.oracle.dump import Record
from runtime.run import Run
from tests.import_oracle import Expected, compared
from tests.integration.scorer_harness import Subscriber
from tests.logins_lake import LOGINS
from tests.real_servers import RealServers
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
DATABASE = 508  # `run` hands out the low ones first
PARTITIONS = 2
DAY_MS = 86_400_000
REPEATS = 8
Rows = dict[str, list[dict[str, Any]]]
Pairs = dict[str, list[tuple[bytes | None, bytes | None]]]


def headrace(*words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace", *words], capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> RunningProject:
    monkeypatch.setenv("HEADRACE_PROJECT", str(LOGINS))
    return project_of_process()


@pytest.fixture
def fresh(
    servers: RealServers, kafka: KafkaConnection, logins: RunningProject, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:  # fmt: skip
    """A run of the logins' example, on the session's servers."""
    name = f"i{secrets.token_hex(3)}"
    run = Run.create(tmp_path, name, redis_db=DATABASE, partitions=PARTITIONS, project=logins.keyspace)
    monkeypatch.setenv("HEADRACE_ROOT", str(tmp_path))
    monkeypatch.setenv("HEADRACE_RUN", str(run.home))
    monkeypatch.setenv("HEADRACE_BOOTSTRAP_SERVERS", servers.bootstrap_servers)
    monkeypatch.setenv("HEADRACE_REDIS_URL", f"{servers.redis_url}/{run.redis_db}")
    monkeypatch.setenv("HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS", "300")
    admit_project(run)
    topics_admin.ensure(kafka, run.topic_prefix, partitions=PARTITIONS)
    yield run
    topics_admin.delete(kafka, run.topic_prefix)


def moment_ms(source: str, row: dict[str, Any]) -> int:
    text = row["known_at" if source == "takeovers" else "at"]
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def cut(made: Rows, cut_ms: int) -> tuple[Rows, Rows]:
    """Return the records before a moment and those after it, each in order of time."""
    parts: tuple[Rows, Rows] = ({}, {})
    for name, rows in made.items():
        ordered = sorted(rows, key=lambda row: moment_ms(name, row))
        parts[0][name] = [row for row in ordered if moment_ms(name, row) < cut_ms]
        parts[1][name] = [row for row in ordered if moment_ms(name, row) >= cut_ms]
    return parts


def files_of(folder: Path, rows: Rows) -> list[str]:
    """Write a file a source, and return how the command is told of them."""
    for name, some in rows.items():
        (folder / f"{name}.ndjson").write_text("\n".join(map(json.dumps, some)))
    return [f"{name}={folder / name}.ndjson" for name in rows]


def pairs_of(rows: Rows) -> Pairs:
    return {name: [(None, json.dumps(row).encode()) for row in some] for name, some in rows.items()}


def send(kafka: KafkaConnection, run: Run, rows: Rows) -> None:
    """Send records to their topics, those of an account to one partition."""
    producer = Producer({**kafka.librdkafka(), "enable.idempotence": True})
    for name, some in rows.items():
        for row in some:
            key = row["login_id"] if name == "takeovers" else row["account"]["id"]
            producer.produce(f"{run.topic_prefix}{name}", json.dumps(row).encode(), key=key.encode())
            producer.poll(0)
    assert producer.flush(30) == 0


def archived(lake: Lake, dataset: str) -> int:
    return lake.read(dataset, ["offset"]).num_rows if lake.has(dataset) else 0


def awaited(lake: Lake, wanted: dict[str, int]) -> None:
    """Wait until the lake holds as many rows of each dataset."""
    for dataset, count in wanted.items():
        until(lambda d=dataset, n=count: archived(lake, d) >= n, timeout_s=60, what=dataset, every_s=0.2)


def oracle(run: Run, project: RunningProject) -> Expected:
    return Expected(declared(project, run.epoch, run.partitions, run))


def streamed_wrong(lake: Lake, expected: Expected) -> list[str]:
    """Fold what was streamed behind what was imported, in each stage's own order; return what differs."""
    pipeline, rows = lake.project.pipeline, list[tuple[int, dict[str, Any], dict[str, Any]]]()
    for source in pipeline.sources:
        raw = {
            (one["partition"], one["offset"]): Record(
                one["partition"], one["offset"], one["appended_ms"], one["key"], one["value"]
            )
            for one in lake.read(source.topic).to_pylist()
        }
        for logged in lake.read(pipeline.log_dataset(source)).to_pylist():
            record = raw[logged["raw_partition"], logged["raw_offset"]]
            code, row = expected.project.by_number[source.number].judged(record, expected.project.secrets)
            assert not code
            rows.append((source.number, logged, row))
    wrong = []
    for link in pipeline.chain.links:
        partition = "partition" if link is pipeline.chain.last else link.partition
        for number, logged, row in sorted(rows, key=lambda one: (one[1][partition], one[1][link.position])):
            due = expected.fold(link.name, number, row)
            told = [logged.get(name) for name in expected.columns[link.name]]
            if not same(told, due):
                wrong.append(f"{number} {logged['raw_partition']}@{logged['raw_offset']} {link.name}")
    return wrong


def test_a_stream_goes_on_from_an_import_with_no_gap_and_no_double(
    fresh: Run, logins: RunningProject, kafka: KafkaConnection, tmp_path: Path
) -> None:
    generator = run_file(LOGINS / "generate.py")
    made: Rows = generator.generate(generator.Plan(accounts=25, days=12, attacks_a_day=4.0))
    cut_ms = generator.START_S * 1000 + 8 * DAY_MS
    before, after = cut(made, cut_ms)
    files = files_of(tmp_path, before)
    send(kafka, fresh, {"logins": before["logins"][:30]})  # in the topic already: the files have them

    crashed = headrace(
        "import", *files, "--stream-from", "end", code=-signal.SIGKILL,
        HEADRACE_CRASH_AT="import.before_offsets:1",
    )  # fmt: skip
    assert "records folded" in crashed.stderr
    stage = headrace("stream", "account", code=5).stderr
    assert "E_SEED_UNFINISHED" in stage
    assert f"headrace import {files[0]}" in stage
    assert "E_IMPORT_OTHER" in headrace("import", files[0], code=5).stderr

    report = json.loads(headrace("import", *files, "--stream-from", "end", "--json", "-").stdout)
    assert report["records"] == {name: len(rows) for name, rows in before.items()}
    assert sum(report["goes_on"]["logins"].values()) == 30
    assert "E_SEED_DONE" in headrace("import", *files, code=5).stderr
    expected = oracle(fresh, logins)
    note = read_seed(fresh.lake)
    assert note is not None
    expected.imported(pairs_of({s.name: before[s.name] for s in logins.pipeline.sources}), note.source.at_ms)
    found = compared(Lake(fresh.lake / IMPORTED, logins), expected)
    assert (found.wrong, found.rows) == ([], sum(map(len, before.values())))

    young = [row for row in before["logins"] if moment_ms("logins", row) > cut_ms - DAY_MS // 2]
    assert len(young) > REPEATS
    repeats, last = young[:REPEATS], young[-1]
    conflict = {**last, "result": "ok" if last["result"] == "failed" else "failed"}
    subscriber, supervisor = Subscriber(fresh, kafka), Supervisor(fresh)
    lake = Lake(fresh.lake, logins)
    try:
        supervisor.start()
        send(kafka, fresh, {"logins": [*repeats, conflict]})  # alone: the clock must not have moved on
        awaited(lake, {"logins": REPEATS + 1, "logins_dlq": 1})
        send(kafka, fresh, after)
        predictions = subscriber.until(len(after["logins"]))
        wanted = {"features": len(after["logins"]), "logins": len(after["logins"]) + REPEATS + 1}
        wanted |= {"resets_log": len(after["resets"]), "label_log": len(after["takeovers"]), "logins_dlq": 1}
        awaited(lake, wanted)
    finally:
        supervisor.stop()
        subscriber.close()
    assert sorted(one.event_id for one in predictions) == sorted(row["login_id"] for row in after["logins"])
    assert lake.read("logins_dlq", ["code"])["code"].to_pylist() == ["E_DUP_CONFLICT"]
    assert {dataset: archived(lake, dataset) for dataset in wanted} == wanted
    assert streamed_wrong(lake, expected) == []
    compare = json.loads(headrace("backfill", "--compare", "--no-write", "--json", "-").stdout)
    assert (compare["mismatches"], compare["records_pending"]) == (0, 0)
    headrace("verify", "--rows", "100000")
