"""Asks each running worker for its health, and says when a part stands still or its state is old."""

from collections.abc import Callable

from headrace.watch_thread import WatchThread
from headrace.worker_health import WorkerHealth, read_healths
from runtime.run import Run

EVERY_S = 5.0
ANSWER_S = 2.0
GOOD = "ok"


class HealthWatch(WatchThread):
    """Watches a run's workers in a thread of its own until it is closed; what changes is told once."""

    def __init__(self, run: Run, report: Callable[[str], None]) -> None:
        super().__init__("health", EVERY_S, report)
        self._run = run
        self._before: dict[str, str] = {}

    def look(self) -> None:
        """Ask every worker once. One that does not answer has ended or starts, which its supervisor tells."""
        for health in read_healths(self._run, ANSWER_S):
            if health.status == "unreachable":
                continue
            before = self._before.get(health.worker, GOOD)
            if health.status != before:
                self._before[health.worker] = health.status
                self._report(health_words(health))


def health_words(health: WorkerHealth) -> str:
    """Return which parts of a worker do not move, or work on in a lesser way, and for how long.

    >>> health_words(WorkerHealth(worker="gate", status="ok"))
    'gate is ok'
    >>> parts = {"loop": {"ok": False, "silent_s": 7}}
    >>> health_words(WorkerHealth(worker="gate", status="stuck", parts=parts))
    'gate is stuck: loop has not moved for 7 s'
    """
    parts = [
        f"{name} has not moved for {part['silent_s']:.0f} s"
        if not part["ok"]
        else f"{name} for {part['stale_s']:.0f} s: {part['why']}"
        for name, part in health.parts.items()
        if not part["ok"] or "stale_s" in part
    ]
    why = ", ".join(parts) or health.why
    return f"{health.worker} is {health.status}" + (f": {why}" if why else "")
