"""Exceptions raised at named points of the workers' code: each must end its process, with a code.

What is raised stands for what nobody planned for. A worker that swallows it and goes on may have lost what it
was about to do, so that is a finding, which makes a run unclean whatever the oracle counts.
"""

from collections.abc import Callable
from functools import partial

from contracts import crash_points
from headrace.supervisor import Worker
from load.chaos.site import Fault, Random, Site, kinds_of
from load.chaos.stack import End

EXCEPTIONS = ("MemoryError", "TypeError", "OSError", "confluent_kafka.KafkaException")
POINTS = (
    *crash_points.POINTS, *crash_points.SEAM_POINTS, *crash_points.LEARNER_POINTS, *crash_points.SERVE_POINTS,
)  # fmt: skip
HANDLED = {  # where the code itself lives with one: the scorer gives its transaction up and goes back
    "confluent_kafka.KafkaException": (
        "scorer.after_produce", "scorer.after_send_offsets", "scorer.after_commit",
    ),
}  # fmt: skip
AT_A_START = (
    "stage.take_over", "stage.take_over_done", "stage.restore", "stage.on_assign", "gate.on_assign",
    "archive.on_assign", "scorer.on_assign", "guard.begin",
)  # fmt: skip
AT_A_REBALANCE = ("stage.on_revoke", "gate.on_revoke", "archive.on_revoke", "scorer.on_revoke")
AT_AN_END = ("stage.finish",)
SELDOM = ("guard.look",)  # every few seconds
ONCE = (*AT_A_START, *AT_A_REBALANCE, *AT_AN_END, *SELDOM)
PASSAGES_MAX = 3
ENDED_WAIT_S = 20.0


def raise_at(point: str, site: Site, rng: Random) -> bool:
    """Raise an exception in a worker at a named point; it must end, and say why."""
    kinds = kinds_of(point)
    kind = kinds[int(rng.integers(len(kinds)))]
    worker = site.any_of(kind, rng)
    if worker is None or worker.process is None:
        return False
    exception = drawn(point, rng)
    passages = 1 if point in ONCE else int(rng.integers(1, PASSAGES_MAX + 1))
    before, joined = len(site.stack.ends), list[Worker]()
    struck = site.arm(
        worker, f"{point}:{passages}:RAISE={exception}", lambda: bring(point, site, worker, joined)
    )
    if struck:
        site.count_point(f"raise:{point}")
        judge_end(site, f"{exception} at {point} of {worker.name}", ended(site, worker, before))
    for one in joined:
        site.stack.supervisor.remove(one)
    return struck


def drawn(point: str, rng: Random) -> str:
    """Return the exception to be raised at a point: one that its code does not expect there."""
    allowed = [name for name in EXCEPTIONS if point not in HANDLED.get(name, ())]
    return allowed[int(rng.integers(len(allowed)))]


def bring(point: str, site: Site, worker: Worker, joined: list[Worker]) -> None:
    """Bring a worker to a point that its ordinary work does not reach."""
    if point in AT_A_START and worker.process is not None:
        worker.process.kill()
    elif point in AT_A_REBALANCE:
        joined.append(site.stack.supervisor.add(worker.kind))
        site.rebalances += 2
    elif point in AT_AN_END:
        site.stack.supervisor.ask_to_end(worker)


def ended(site: Site, worker: Worker, before: int) -> End | None:
    """Wait for a worker's end other than by a signal; None when it goes on."""

    def ends() -> list[End]:
        return [one for one in site.stack.ends[before:] if one.worker == worker.name and not one.is_killed]

    site.stack.until(lambda: bool(ends()), ENDED_WAIT_S)
    return next(iter(ends()), None)


def judge_end(site: Site, what: str, end: End | None) -> None:
    """Find fault with a worker that went on after an exception, or ended without a code."""
    if end is None:
        site.find("swallowed", f"{what}: it goes on")
    elif not end.is_coded:
        site.find("swallowed", f"{what}: {end.told}")


def catalogue() -> dict[str, Fault]:
    """Return the group's faults by name."""
    found: dict[str, Callable[[Site, Random], bool]] = {}
    for point in filter(kinds_of, POINTS):
        found[f"raise:{point}"] = partial(raise_at, point)
    return found
