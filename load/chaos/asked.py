"""What the HTTP API says of a sample of keys when a run is at rest: data for the oracle."""

import json

from contracts.errors import ClusterError
from load.chaos.caller import QUESTIONS_A_BATCH, Caller
from load.chaos.input import Input
from load.chaos.stack import ChaosStack
from load.oracle.dump import Answered

KEYS = 40
AHEAD_MS = (0, 26 * 3_600_000 + 300_000)  # behind the newest event: at it, and past a day's windows
READY_S = 60.0
JOIN_KEYS = {"customer": "customer_id", "terminal": "terminal_id"}


def asked_at_rest(stack: ChaosStack, caller: Caller, given: Input) -> list[Answered]:
    """Return the answers for keys of the load's end, customers and terminals, each at fixed moments.

    Raises:
        ClusterError: E_CHAOS_API, the API does not answer although nothing is struck any more.
    """
    stack.until(lambda: all(map(stack.process_of, stack.supervisor.workers)), READY_S)
    payments = given.payments()
    newest_ms = max(payment["event_time"] for payment in payments)
    sample = payments[:: max(1, len(payments) // KEYS)][:KEYS]
    found: list[Answered] = []
    for ahead_ms in AHEAD_MS:
        now_ms = newest_ms + ahead_ms
        for at in range(0, len(sample), QUESTIONS_A_BATCH):
            part = sample[at : at + QUESTIONS_A_BATCH]
            questions = [
                {**{name: payment[name] for name in JOIN_KEYS.values()}, "now_ms": now_ms} for payment in part
            ]
            status, body = caller.ask("/features/batch", {"questions": questions})
            if status != 200:
                raise ClusterError("E_CHAOS_API", f"{status} at rest: {body[:200]!r}", "/features/batch")
            for question, answer in zip(questions, json.loads(body)["answers"], strict=True):
                found += [
                    Answered(
                        entity=entity, key=question[name], now_ms=now_ms, values=answer[entity]["values"],
                        degraded=answer["degraded_why"],
                    )
                    for entity, name in JOIN_KEYS.items()
                ]  # fmt: skip
    return found
