"""What the HTTP API says of a sample of keys when a run is at rest: data for the oracle."""

import json
from typing import Any

from contracts.errors import ClusterError
from features.project.running import RunningProject, project_of_process
from load.chaos.caller import QUESTIONS_A_BATCH, Caller, question_of
from load.chaos.input import Input
from load.chaos.stack import ChaosStack
from load.oracle.dump import Answered

KEYS = 40
AHEAD_MS = (0, 26 * 3_600_000 + 300_000)  # behind the newest event: at it, and past a day's windows
READY_S = 60.0


def asked_at_rest(stack: ChaosStack, caller: Caller, given: Input) -> list[Answered]:
    """Return the answers for keys of the load's end, of every entity, each at fixed moments.

    Raises:
        ClusterError: E_CHAOS_API, the API does not answer although nothing is struck any more.
    """
    stack.until(lambda: all(map(stack.process_of, stack.supervisor.workers)), READY_S)
    project, events = project_of_process(), given.payments()
    sample = [question_of(event) for event in events[:: max(1, len(events) // KEYS)][:KEYS]]
    found: list[Answered] = []
    for ahead_ms in AHEAD_MS:
        now_ms = given.newest_event_ms() + ahead_ms
        for at in range(0, len(sample), QUESTIONS_A_BATCH):
            questions = [{**one, "now_ms": now_ms} for one in sample[at : at + QUESTIONS_A_BATCH]]
            status, body = caller.ask("/features/batch", {"questions": questions})
            if status != 200:
                raise ClusterError("E_CHAOS_API", f"{status} at rest: {body[:200]!r}", "/features/batch")
            for question, answer in zip(questions, json.loads(body)["answers"], strict=True):
                found += answered(project, question, answer)
    return found


def answered(project: RunningProject, question: dict[str, Any], answer: dict[str, Any]) -> list[Answered]:
    """Return what an answer says of each entity whose key was asked for."""
    return [
        Answered(
            entity=link.name, fields={name: question[name] for name in link.fields},
            now_ms=question["now_ms"], values=answer[link.name]["values"], degraded=answer["degraded_why"],
        )
        for link in project.pipeline.chain.links
        if all(question.get(name) for name in link.fields)
    ]  # fmt: skip
