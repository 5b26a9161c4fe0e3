"""A scorer and an HTTP API whose process was given another project than the card payments."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

EVENTS = [
    {
        "login_id": f"l{number}", "at": f"2025-10-09T08:00:0{number}+02:00", "account": {"id": "a1"},
        "client": {"ip": "h1", "channel": "web"} | ({"device_id": "d1"} if number else {}), "result": "ok",
    }
    for number in range(3)
]  # fmt: skip
QUESTIONS = [{"account_id": "a1"}, {"device_id": "d1", "ip": "h1", "now_ms": 1_760_000_003_600}]


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """Return what the process says, in the project of the logins."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.inference.other_process"], check=True, text=True,
        capture_output=True,
        input=json.dumps({"events": EVENTS, "questions": QUESTIONS}),
        env=os.environ | {"HEADRACE_PROJECT": "examples/logins"},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["project"] == "logins"
    return found


def test_predictions_name_the_events_and_say_which_key_is_missing(said: dict[str, Any]) -> None:
    *stored, alone = said["predictions"]
    assert [one["event_id"] for one in stored] == ["l0", "l1", "l2"]
    assert [one["keys"]["device"] for one in stored] == [None, "d1", "d1"]
    assert [one["features"]["groups"]["device"] for one in stored] == [
        {"status": "no_key"}, {"status": "exact", "age_ms": 0}, {"status": "exact", "age_ms": 0},
    ]  # fmt: skip
    of = dict(zip(said["columns"], stored[1]["features"]["values"], strict=True))
    assert (of["channel"], of["hour_of_day"], of["device_logins_count_1h"], of["ip_logins_count_5m"]) == (
        1,
        6,
        1,
        2,
    )
    of = dict(zip(said["columns"], stored[0]["features"]["values"], strict=True))
    assert of["device_logins_count_1h"] is None
    assert {one["decision"] for one in stored} == {"allow"}
    assert all(list(one["features"]["groups"]) == ["account", "device", "ip"] for one in stored)
    assert (alone["rung"], alone["degraded_why"]) == ("rules", ["store_unavailable"])
    assert said["learner_refused"] == 0
    assert {len(one["keys"]["ip"]) for one in stored} == {32}, "the address leaves as its keyed hash"


def test_the_http_api_takes_the_projects_own_events_and_keys(said: dict[str, Any]) -> None:
    assert [one["event_id"] for one in said["pending"]] == ["l0", "l1", "l2"]
    groups = [one["features"]["groups"] for one in said["pending"]]
    assert [one["device"]["status"] for one in groups] == ["no_key", "exact", "exact"]
    assert not any(one["degraded"] for one in said["pending"])
    counts = [dict(zip(said["columns"], one["features"]["values"], strict=True)) for one in said["pending"]]
    assert [one["device_logins_count_1h"] for one in counts] == [None, 1, 1]
    account, both = said["moments"]
    assert set(account) - {"account"} == set(both) - {"device", "ip"}
    assert account["account"]["values"]["account_logins_count_1h"] == 0
    assert both["now_ms"] == 1_760_000_003_600
    assert said["refused"] == ["E_SERVE_KEYS", "E_SERVE_FIELD"]
