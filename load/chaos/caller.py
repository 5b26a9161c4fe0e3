"""A caller of the HTTP API that asks all the time: whatever dies, an answer is good or a coded refusal.

While the process is down nobody answers, which is its right; an answer that no client could read, or a 500
whose process goes on, is a finding.
"""

import http.client
import json
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

from features.project.running import project_of_process
from headrace.door_note import door_of, token_of
from runtime.run import Run

EVERY_S = 0.3
TIMEOUT_S = 5.0
LAST_S = 6.0  # within which a process whose handler failed must be gone
EXAMPLES_MAX = 5
QUESTIONS_A_BATCH = 20


class Wrong(NamedTuple):
    """An answer that must not be, and when it came (monotonic seconds)."""

    at_s: float
    status: int
    what: str


class Caller(threading.Thread):
    """Asks /score and /features in turn until `stop()`.

    Args:
        payments: scored events as JSON objects; each is asked about as one that is about to be made.
    """

    def __init__(self, run: Run, payments: list[dict[str, Any]]) -> None:
        super().__init__(name="caller", daemon=True)
        self._run, self._payments = run, payments
        self._stopping = threading.Event()
        self.answers: Counter[str] = Counter()
        self.wrong: list[Wrong] = []
        self._number = 0

    def run(self) -> None:
        """Ask until stopped."""
        while not self._stopping.wait(EVERY_S):
            self._number += 1
            payment = self._payments[self._number % len(self._payments)]
            if self._number % 2:
                self._judge("/score", renamed(payment, f"asked-{self._number}"))
            else:
                self._judge("/features", question_of(payment))

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self.join(2 * TIMEOUT_S)

    def ask(self, path: str, content: Any) -> tuple[int, bytes]:
        """Return status and body of an answer.

        Raises:
            OSError: nobody listens, or the line broke.
            HTTPException: it broke within an answer.
        """
        found = door_of(self._run)
        if found is None:
            raise OSError("the HTTP API has not been opened")
        line = http.client.HTTPConnection(found.host, found.port, timeout=TIMEOUT_S)
        try:
            headers = {"Authorization": f"Bearer {token_of(self._run)}"}
            line.request("POST", path, json.dumps(content).encode(), headers)
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    def _judge(self, path: str, content: Any) -> None:
        try:
            status, body = self.ask(path, content)
        except (OSError, http.client.HTTPException) as error:
            self.answers[f"none: {type(error).__name__}"] += 1
            return
        word, fault = judged(path, status, body)
        self.answers[word] += 1
        if fault:
            self.wrong.append(Wrong(time.monotonic(), status, f"{path}: {fault}"))


def question_of(event: dict[str, Any]) -> dict[str, Any]:
    """Return the question for the features of an event's keys: those that it has.

    >>> question_of({"customer_id": "c1", "amount_minor": 5, "terminal_id": None})
    {'customer_id': 'c1'}
    """
    pipeline = project_of_process().pipeline
    fields = pipeline.scored.versions[-1].by_name
    asked = {name: _at(event, fields[name].path) for link in pipeline.chain.links for name in link.fields}
    return {name: value for name, value in asked.items() if value is not None}


def renamed(event: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an event under another id.

    >>> renamed({"transaction_id": "t1", "amount_minor": 5}, "asked-1")
    {'transaction_id': 'asked-1', 'amount_minor': 5}
    """
    project = project_of_process()
    ids = [project.scored_contract.by_name[each] for each in project.event.fields]
    own: dict[str, Any] = json.loads(json.dumps(event))
    for field in (one for one in ids if one.type == "string"):
        below = own
        for key in field.path[:-1]:
            below = below[key]
        below[field.path[-1]] = name
    return own


def name_of(value: bytes | None) -> str:
    """Return the id of the event that a raw record is of, as decisions name it; "" where it cannot be read.

    >>> name_of(b'{"customer_id": "c1", "transaction_id": "t1"}'), name_of(b"{")
    ('t1', '')
    """
    project = project_of_process()
    try:
        event = json.loads(value or b"")
    except ValueError:
        return ""
    fields = [project.scored_contract.by_name[each] for each in project.event.fields]
    return "/".join(str(_at(event, field.path)) for field in fields)


def _at(event: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        event = event.get(key) if isinstance(event, dict) else None
    return event


def judged(path: str, status: int, body: bytes) -> tuple[str, str]:
    """Return an answer in a word, and what is wrong with it, "" when nothing is.

    >>> judged("/score", 503, b'{"error": {"code": "E_SERVE_BUSY"}}')
    ('503 E_SERVE_BUSY', '')
    >>> judged("/score", 500, b'{"error": {"code": "E_SERVE_INTERNAL"}}')
    ('500 E_SERVE_INTERNAL', 'it failed: E_SERVE_INTERNAL')
    >>> judged("/score", 200, b'<html>')
    ('200 malformed', "malformed: b'<html>'")
    """
    try:
        content = json.loads(body)
        if status == 200:
            names = project_of_process().pipeline.chain.names
            good = (
                content["decision"]
                if path == "/score"
                else [content[name]["values"] for name in names if name in content]
            )
            return "200", "" if good else "an empty answer"
        code = str(content["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return f"{status} malformed", f"malformed: {body[:80]!r}"
    return f"{status} {code}", f"it failed: {code}" if status == 500 else ""


def unexcused(wrong: list[Wrong], ends_s: list[float]) -> list[str]:
    """Return what no end of the process excuses: a 500 is right where its process ends at once.

    >>> unexcused([Wrong(10.0, 500, "a"), Wrong(30.0, 500, "b"), Wrong(10.0, 200, "c")], [10.4])
    ['b', 'c']
    """
    return [
        one.what for one in wrong
        if one.status != 500 or not any(0 <= end_s - one.at_s <= LAST_S for end_s in ends_s)
    ]  # fmt: skip
