"""What strangers put into ids and texts cannot move a terminal's cursor or forge a line."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from contracts.errors import StateError
from headrace.__main__ import cli, message
from headrace.commands import explain as explain_command
from headrace.printing import escaped, json_text

CONTENT = (
    "explain",
    "review",
    "policy",
    "models",
    "dlq",
    "produce",
)  # commands that print what came out of records
HOSTILE = "t1\x1b[2J\nAPPROVE by rule\r\x9b1A\u202e\u2028\x00\ud800"
FOUND: dict[str, Any] = {
    "prediction": {
        "decision": "decline", "decided_by": "model", "risk_band": "high", "score": 0.9,
        "prediction_id": HOSTILE, "event_id": HOSTILE, "event_time": 0,
        "keys": {"customer": "c1", "terminal": HOSTILE}, "scored_at": 1,
        "source": {"topic": "transactions", "partition": 0, "offset": 1},
        "degraded": True, "degraded_why": [HOSTILE], "rung": "full",
        "reasons": [{"code": HOSTILE, "text": HOSTILE}],
        "rules": [{"id": HOSTILE, "version": 1, "outcome": HOSTILE}],
    },
    "event": {"email": HOSTILE}, "labels": [{"positive": True, "source": HOSTILE, "known_ms": 0}],
    "policy": {"name": HOSTILE, "version": HOSTILE, "sha256": "0" * 64}, "model": None,
    "model_why": HOSTILE, "policy_why": HOSTILE, "features": [], "base": None, "counterfactual": None,
    "others": [{"prediction_id": HOSTILE, "keys": {"customer": HOSTILE, HOSTILE: "m1"}, "event_time": 0,
                "scored_at": 0, "decision": HOSTILE}],
}  # fmt: skip


def _is_safe(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_hostile_text_becomes_one_printable_line() -> None:
    assert _is_safe(escaped(HOSTILE))
    assert "\n" not in escaped(HOSTILE)
    assert escaped("Zoë 東京") == "Zoë 東京"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_explain_prints_ids_escaped(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(json.dumps(FOUND).replace("\\ud800", ""))
    run = SimpleNamespace(lake=Path("lake"), models=Path("models"))
    monkeypatch.setattr("runtime.environment.current_run", lambda: run)
    monkeypatch.setattr("inference.offline.replay.explain.explain", lambda *_: found)
    done = CliRunner().invoke(cli, ["explain", "t1", *options])
    assert done.exit_code == 0, done.output
    assert _is_safe(done.output)
    assert not any(line.startswith("APPROVE") for line in done.output.splitlines())


@pytest.mark.parametrize("options", [["list"], ["list", "--json"], ["show", "transactions/0/1", "--bytes"]])
def test_dlq_prints_what_a_letter_says_escaped(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = HOSTILE.replace("\ud800", "")
    letter = SimpleNamespace(
        origin=SimpleNamespace(topic="transactions"), code=text, reason="café " + text, stage=text,
        contract=text, timestamp_ms=0, copied=False, key=text.encode(), value=b"\xff" + text.encode(),
    )  # fmt: skip
    dead = SimpleNamespace(letters=lambda *_: [letter], find=lambda _: letter)
    monkeypatch.setattr("headrace.commands.dlq._dead_letters", lambda: dead)
    done = CliRunner().invoke(cli, ["dlq", *options])
    assert done.exit_code == 0, done.output
    assert _is_safe(done.output)
    assert "café" in done.output
    assert not any(line.startswith("APPROVE") for line in done.output.splitlines())


def test_json_stays_json() -> None:
    document = {"id": "t1\x9b\u202e\U0001f600\U000e0001é"}
    assert json.loads(json_text(document)) == document
    assert _is_safe(json_text(document))


def test_an_error_that_names_an_id_is_printed_escaped() -> None:
    assert _is_safe(message(StateError("E_EXPLAIN", f"no payment {HOSTILE}", HOSTILE, HOSTILE)))


@pytest.mark.parametrize("name", CONTENT)
def test_commands_that_print_content_print_it_escaped(name: str) -> None:
    code = Path(explain_command.__file__).with_name(f"{name}.py").read_text()
    assert "click.echo(" not in code
    assert "sys.stdout" not in code
