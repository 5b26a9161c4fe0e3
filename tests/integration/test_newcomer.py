"""A newcomer's walk: the wheel, installed, in a folder outside any clone with a `features/` of its own."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.generate import workload
from feature_repo.generator.payments import generate
from headrace.init.templates import template_files
from tests.integration.installation import CHECKOUT, Installation, Place
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def place(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(installed, tmp_path_factory.mktemp("place"))


def test_the_wheel_has_every_file_of_our_packages(installed: Installation) -> None:
    assert installed.missing() == []


def test_the_wheel_has_the_product_and_nothing_that_runs_beside_it(
    installed: Installation, place: Place
) -> None:
    assert not (installed.packages / "load").exists()
    assert not {"bench", "chaos", "scenario"} & set(place.run("--help").split())
    assert place.run("bench", "list", code=2) == ""


def test_the_wheel_has_the_templates_as_they_are(installed: Installation) -> None:
    origins = {"logins": "examples/logins", "flights": "examples/flights", "payments": "feature_repo"}
    for name, origin in origins.items():
        for path in template_files(name):
            packed = installed.packages / "headrace" / "templates" / name / path
            assert packed.read_bytes() == (CHECKOUT / origin / path).read_bytes()


def test_new_projects_are_right_in_a_folder_outside_any_clone(place: Place) -> None:
    place.run("init", "takeover", "-t", "logins")
    assert "logins: 3 sources" in place.run("check", "--project", "takeover")
    rows = (f"r{n},2025-01-{1 + n // 24:02d} {n % 24:02d}:05,d{n % 7},{n % 50}" for n in range(200))
    (place.folder / "rides.csv").write_text("\n".join(["ride_id,at,driver,fare", *rows]))
    assert "names a record: 200 values" in place.run("init", "rides", "--from", "rides.csv")
    assert "rides: 1 sources, 1 views" in place.run("check", "--project", "rides")


def write_input(place: Place, name: str) -> tuple[str, str]:
    """Write a workload's payments and labels where the newcomer has them; return the files' names."""
    made = generate(workload(name))
    pq.write_table(made.transactions, place.folder / "payments.parquet")
    pq.write_table(made.labels, place.folder / "labels.parquet")
    return "payments.parquet", "labels.parquet"


def finds(place: Place, check: str) -> dict[str, str]:
    found = json.loads(place.run("doctor", "--json"))
    return {row["check"]: row for row in found}[check]  # type: ignore[no-any-return]


def settled(place: Place, rows: int) -> Callable[[], bool]:
    """Return whether the archive has written all predictions."""
    lake = place.folder / ".headrace" / "runs" / "main" / "lake" / "predictions"

    def every() -> bool:
        return sum(pq.ParquetFile(path).metadata.num_rows for path in lake.rglob("*.parquet")) >= rows

    return every


def test_the_first_minutes(place: Place) -> None:
    """Doctor, up, produce, a server that dies, dead letters, verify, down."""
    before = place.run("doctor")
    assert "note  kafka         not started yet" in before
    assert "next: `headrace up` starts it" in before
    assert "ok    contracts" in before
    payments, _ = write_input(place, "small")
    with place.up() as log:
        assert [row for row in json.loads(place.run("doctor", "--json")) if row["state"] == "wrong"] == []
        assert "already up" in place.run("up")
        sent = json.loads(place.run("produce", payments, "--limit", "500", "--json"))
        assert sent["transactions"] == sent["acknowledged"] == 500
        assert "customer_id" not in place.run("dlq", "list")
        until(settled(place, 490), timeout_s=60, what="the lake has the predictions")
        place.run("verify", "--rows", "100")
        servers = {row["name"]: row for row in json.loads(place.run("servers", "status", "--json"))}
        os.kill(servers["kafka"]["pid"], signal.SIGKILL)
        until(lambda: "Kafka has ended" in log.read_text(), timeout_s=30, what="the loss is told")
        until(lambda: "Kafka answers again" in log.read_text(), timeout_s=90, what="Kafka is back")
        assert json.loads(place.run("runs", "list", "--json"))[0]["is_current"]
    assert "nothing was running" in place.run("down")
    after = place.run("doctor", code=1)
    assert "WRONG kafka         E_SERVERS_NONE" in after


@pytest.mark.long
def test_the_first_model(place: Place, tmp_path: Path) -> None:
    """Produce with labels, train, promote, a demo beside it that leaves the current run alone."""
    payments, labels = write_input(place, "lesson")
    with place.up():
        sent = json.loads(place.run("produce", payments, "--labels", labels, "--json"))
        until(settled(place, int(sent["transactions"] * 0.9)), timeout_s=120, what="the lake has them")
        place.run("materialize")
        assert json.loads(place.run("train", "--promote", "--json"))["version"]
        assert "fraud" in place.run("models", "list")
        until(lambda: finds(place, "model")["state"] == "ok", timeout_s=30, what="there is a champion")
        place.run("demo", "--workload", "lesson", "--json", str(tmp_path / "demo.json"))
        runs = json.loads(place.run("runs", "list", "--json"))
        assert [run["is_current"] for run in runs if run["name"] == "main"] == [True]
        (demo,) = (run["name"] for run in runs if run["name"].startswith("demo"))
        assert "fraud" in place.run("--run", demo, "models", "list")
        place.run("runs", "use", demo)
        place.run("runs", "use", "main")
        place.run("verify", "--rows", "100")
