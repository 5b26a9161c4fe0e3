"""`headrace gate` as its supervisor runs it: a process that ends cleanly when asked."""

import signal
import subprocess
import sys

import pytest

from contracts.connections import KafkaConnection
from contracts.frame import Kind
from runtime.run import Run
from tests.integration.test_gate import frames, payment, send
from tests.waiting import until


@pytest.mark.timeout(90)
def test_the_process_judges_and_stops_within_five_seconds(kafka: KafkaConnection, run: Run) -> None:
    gate = subprocess.Popen([sys.executable, "-m", "headrace", "gate"], stderr=subprocess.PIPE)
    try:
        until(
            lambda: (run.ports / "gate.json").exists() or gate.poll() is not None, timeout_s=40, what="ready"
        )
        send(
            kafka, run.topic_prefix + "transactions", [payment(number, f"c{number}") for number in range(500)]
        )
        until(lambda: len(seen(kafka, run)) == 500, timeout_s=30, what="all is judged", every_s=0.3)
    finally:
        gate.send_signal(signal.SIGTERM)
        _, errors = gate.communicate(timeout=5)
    assert gate.returncode == 0, errors.decode()


def seen(kafka: KafkaConnection, run: Run) -> set[bytes]:
    """Return the ids that have passed."""
    rows = frames(kafka, run.topic_prefix + "events.customer", Kind.SCORED)
    return set(rows["transaction_id"].tolist()) if rows else set()
