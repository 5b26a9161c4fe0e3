"""A training on logins: labels by id and by absence, no money, segments of what the project declares."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.inference.other_training", str(tmp_path_factory.mktemp("lake"))],
        check=True, text=True, capture_output=True, env=os.environ | {"HEADRACE_PROJECT": "examples/logins"},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("{"))
    )
    assert found["project"] == "logins"
    return found


def test_events_without_a_label_are_negative_once_the_project_says_so(said: dict[str, Any]) -> None:
    assert 20 < said["positives"] < said["rows"] / 10
    rows, positives = said["young"]  # a moment before any absence counts: labelled events alone
    assert positives > rows / 20


def test_events_younger_than_the_maturity_of_labels_are_left_out(said: dict[str, Any]) -> None:
    assert said["youngest_age_ms"] >= 14 * DAY_MS


def test_the_report_has_what_the_project_declares_and_nothing_else(said: dict[str, Any]) -> None:
    assert said["width"] == said["columns"]
    assert said["money"] == []
    assert said["segments"] == ["account"]  # no night, no weekend, no amount among the model's inputs
    assert {"without_device", "counts_doubled", "clocks_3_hours_late"} <= set(said["changes"])
    assert not [change for change in said["changes"] if change.startswith("amounts")]
    assert said["average_precision"] > 0.2
