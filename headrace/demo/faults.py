"""Faults injected while live records come, each timed, so that the summary can prove that it had effect."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace.demo.plan import Faults
from headrace.demo.stack import DemoStack
from headrace.demo.view import View
from headrace.traffic.observed import Observed

SETTLE_S = 4.0  # live traffic before the first fault and between two
ROWS_BACK_S = 30.0


@dataclass(slots=True)
class InjectedFault:
    """One fault: from when to when, on the wall clock, and what was seen beside the predictions."""

    name: str
    began_s: float
    ended_s: float = 0.0
    seen: dict[str, Any] = field(default_factory=dict)


@contextmanager
def injected_faults(faults: Faults, stack: DemoStack, view: View) -> Iterator[list[InjectedFault]]:
    """Inject the faults one after the other in a thread while the block sends records.

    Raises:
        Exception: what injecting one raised, once the block has ended.
    """
    injected: list[InjectedFault] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            _inject_all(faults, stack, view, injected)
        except Exception as error:  # noqa: BLE001  # raised again below, in the thread that can report it
            failures.append(error)

    thread = threading.Thread(target=work, name="faults", daemon=True)
    thread.start()
    yield injected
    thread.join()
    if failures:
        raise failures[0]


def _inject_all(faults: Faults, stack: DemoStack, view: View, injected: list[InjectedFault]) -> None:
    if faults.redis_outage_s:
        time.sleep(SETTLE_S)
        view.say(f"[yellow]Redis stops for {faults.redis_outage_s:.0f} s[/yellow]")
        injected.append(_redis_outage(stack, faults.redis_outage_s))
    if faults.redis_flush:
        time.sleep(SETTLE_S)
        view.say("[yellow]Redis is flushed[/yellow]")
        injected.append(_redis_flush(stack))
    if faults.kafka_restart:
        time.sleep(SETTLE_S)
        view.say("[yellow]Kafka restarts[/yellow]")
        injected.append(_kafka_restart(stack))


def _redis_outage(stack: DemoStack, seconds: float) -> InjectedFault:
    fault = InjectedFault("redis_outage", time.time())
    stack.stop_redis()
    time.sleep(seconds)
    stack.start_redis()
    fault.ended_s = time.time()
    return fault


def _redis_flush(stack: DemoStack) -> InjectedFault:
    """Empty the store and wait until the stages have written their rows again."""
    before = stack.store_keys()
    fault = InjectedFault("redis_flush", time.time())
    stack.flush_redis()
    deadline_s = time.monotonic() + ROWS_BACK_S
    while stack.store_keys() < before and time.monotonic() < deadline_s:
        time.sleep(0.1)
    fault.ended_s = time.time()
    fault.seen = {"keys_before": before, "keys_after": stack.store_keys()}
    return fault


def _kafka_restart(stack: DemoStack) -> InjectedFault:
    fault = InjectedFault("kafka_restart", time.time())
    stack.restart_kafka()
    fault.ended_s = time.time()
    return fault


def reports(injected: list[InjectedFault], observed: Observed) -> dict[str, dict[str, Any]]:
    """Return what each fault did, by its name, once the records meanwhile are through.

    A `problem` is there when no live traffic met the fault, or nothing recovered from it.
    """
    return {fault.name: _report(fault, observed) for fault in injected}


def _report(fault: InjectedFault, observed: Observed) -> dict[str, Any]:
    at_s, degraded = observed.outcomes.readable_s, observed.outcomes.degraded
    during = (at_s >= fault.began_s) & (at_s < fault.ended_s)
    after = at_s[(at_s >= fault.ended_s) & ~degraded]
    report: dict[str, Any] = {
        "seconds": round(fault.ended_s - fault.began_s, 1),
        "predictions_during": int(during.sum()),
        "degraded_during": int((during & degraded).sum()),
        "recovered_s": round(float(after.min() - fault.ended_s), 2) if len(after) else None,
        **fault.seen,
    }
    if not np.any(at_s >= fault.ended_s):
        report["problem"] = "no record came after it: no live traffic met it"
    elif fault.name == "redis_outage" and not report["predictions_during"]:
        report["problem"] = "scoring stood still while Redis was away"
    elif fault.seen.get("keys_after", 0) < fault.seen.get("keys_before", 0):
        report["problem"] = f"rows did not come back within {ROWS_BACK_S:.0f} s"
    elif report["recovered_s"] is None:
        report["problem"] = "predictions stayed degraded after it"
    return report
