"""The door without its store, without a model, under too much load, and where it may not be opened."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.run import Run
from tests.integration.door import CHECKOUT, open_door
from tests.integration.test_serve import END_MS, payment
from tests.real_servers import RealServers
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(200)]
PENDING = payment(1, END_MS, 1, 1, 500)


def test_without_store_and_model_answers_are_flagged_and_come_back(run: Run, servers: RealServers) -> None:
    """No stage has filled this run's store, so nobody may be called new either."""
    with open_door(run) as caller:
        first = caller.post("/score", PENDING).body
        assert (first["risk_band"], first["decided_by"]) == ("not_assessed", "default")
        assert "model" not in first
        assert first["degraded_why"] == ["store_row_unreadable"]
        servers.stop_redis()
        try:
            scored = caller.post("/score", PENDING)
            found = caller.post("/features", {"customer_id": "c1", "terminal_id": "m1"})
            health = caller.get("/health").body
        finally:
            servers.start_redis()
        assert (scored.status, scored.body["degraded_why"]) == (200, ["store_unavailable"])
        assert (found.status, found.body["degraded_why"]) == (200, ["store_unavailable"])
        assert set(found.body["customer"]["values"].values()) == {None}
        assert {group["status"] for group in scored.body["features"]["groups"].values()} == {"default"}
        assert (health["status"], health["store"], health["model"]) == ("degraded", "away", None)

        def is_back() -> bool:
            return bool(caller.post("/score", PENDING).body["degraded_why"] == ["store_row_unreadable"])

        until(is_back, timeout_s=20, what="the store is read again", every_s=0.2)


def test_too_many_at_once_are_sent_away_and_counted(run: Run) -> None:
    with open_door(run, rows_waiting_max=2, requests_max=8) as caller, ThreadPoolExecutor(32) as callers:
        found = list(callers.map(lambda _: caller.post("/score", PENDING), range(300)))
        busy = [one for one in found if one.status == 503]
        assert {one.status for one in found} == {200, 503}
        assert {one.code for one in busy} == {"E_SERVE_BUSY"}
        assert all(one.headers["Retry-After"] == "1" for one in busy)
        assert caller.post("/score", PENDING).status == 200


@pytest.mark.parametrize(
    ("words", "variables", "code"),
    [
        (["--host", "0.0.0.0"], {}, "E_SERVE_REMOTE"),
        ([], {"HEADRACE_SERVE_TOKEN": "short"}, "E_SERVE_TOKEN"),
    ],
)
def test_an_unsafe_door_is_not_opened(
    run: Run, words: list[str], variables: dict[str, str], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "serve", *words],
        capture_output=True, text=True, timeout=60, cwd=CHECKOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"Error {code}" in done.stderr
