"""Faults struck while live payments come, each timed, so that the summary can prove that it struck."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace.demo.deployment import Deployment
from headrace.demo.plan import Faults
from headrace.demo.view import View
from load.observed import Observed

SETTLE_S = 4.0  # live traffic before the first fault and between two
ROWS_BACK_S = 30.0


@dataclass(slots=True)
class Strike:
    """One fault: from when to when, on the wall clock, and what was seen beside the predictions."""

    name: str
    began_s: float
    ended_s: float = 0.0
    seen: dict[str, Any] = field(default_factory=dict)


@contextmanager
def striking(faults: Faults, deployment: Deployment, view: View) -> Iterator[list[Strike]]:
    """Strike the faults one after the other in a thread while the block sends payments.

    Raises:
        Exception: what a strike itself raised, once the block has ended.
    """
    strikes: list[Strike] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            _strike_all(faults, deployment, view, strikes)
        except Exception as error:  # noqa: BLE001  # raised again below, in the thread that can report it
            failures.append(error)

    thread = threading.Thread(target=work, name="faults", daemon=True)
    thread.start()
    yield strikes
    thread.join()
    if failures:
        raise failures[0]


def _strike_all(faults: Faults, deployment: Deployment, view: View, strikes: list[Strike]) -> None:
    if faults.redis_outage_s:
        time.sleep(SETTLE_S)
        view.say(f"[yellow]Redis stops for {faults.redis_outage_s:.0f} s[/yellow]")
        strikes.append(_redis_outage(deployment, faults.redis_outage_s))
    if faults.redis_flush:
        time.sleep(SETTLE_S)
        view.say("[yellow]Redis is flushed[/yellow]")
        strikes.append(_redis_flush(deployment))
    if faults.kafka_restart:
        time.sleep(SETTLE_S)
        view.say("[yellow]Kafka restarts[/yellow]")
        strikes.append(_kafka_restart(deployment))


def _redis_outage(deployment: Deployment, seconds: float) -> Strike:
    strike = Strike("redis_outage", time.time())
    deployment.stop_redis()
    time.sleep(seconds)
    deployment.start_redis()
    strike.ended_s = time.time()
    return strike


def _redis_flush(deployment: Deployment) -> Strike:
    """Empty the store and wait until the stages have written their rows again."""
    before = deployment.store_keys()
    strike = Strike("redis_flush", time.time())
    deployment.flush_redis()
    deadline_s = time.monotonic() + ROWS_BACK_S
    while deployment.store_keys() < before and time.monotonic() < deadline_s:
        time.sleep(0.1)
    strike.ended_s = time.time()
    strike.seen = {"keys_before": before, "keys_after": deployment.store_keys()}
    return strike


def _kafka_restart(deployment: Deployment) -> Strike:
    strike = Strike("kafka_restart", time.time())
    deployment.restart_kafka()
    strike.ended_s = time.time()
    return strike


def reports(strikes: list[Strike], observed: Observed) -> dict[str, dict[str, Any]]:
    """Return what each fault did, by its name, once the payments meanwhile are through.

    A `problem` is there when the fault did not strike live traffic, or nothing recovered from it.
    """
    return {strike.name: _report(strike, observed) for strike in strikes}


def _report(strike: Strike, observed: Observed) -> dict[str, Any]:
    at_s, degraded = observed.outcomes.readable_s, observed.outcomes.degraded
    during = (at_s >= strike.began_s) & (at_s < strike.ended_s)
    after = at_s[(at_s >= strike.ended_s) & ~degraded]
    report: dict[str, Any] = {
        "seconds": round(strike.ended_s - strike.began_s, 1),
        "predictions_during": int(during.sum()),
        "degraded_during": int((during & degraded).sum()),
        "recovered_s": round(float(after.min() - strike.ended_s), 2) if len(after) else None,
        **strike.seen,
    }
    if not np.any(at_s >= strike.ended_s):
        report["problem"] = "no payment came after it: it did not strike live traffic"
    elif strike.name == "redis_outage" and not report["predictions_during"]:
        report["problem"] = "scoring stood still while Redis was away"
    elif strike.seen.get("keys_after", 0) < strike.seen.get("keys_before", 0):
        report["problem"] = f"rows did not come back within {ROWS_BACK_S:.0f} s"
    elif report["recovered_s"] is None:
        report["problem"] = "predictions stayed degraded after it"
    return report
