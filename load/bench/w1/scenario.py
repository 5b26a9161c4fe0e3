"""Scenarios `w1` and `w1-json`: the work that stream engines are compared on, Python peers beside it."""

from pathlib import Path

from contracts.errors import StateError
from feature_repo.generate import workload
from headrace.servers import Servers
from load.bench.measure import Figures
from load.bench.outcome import Outcome
from load.bench.stack import BenchStack
from load.bench.w1.entity import entity
from load.bench.w1.headrace_run import Answer, Asked, Work, answers, measure
from load.bench.w1.truth import Expected, Truth, differences
from load.peers import w1 as peers

EVENTS = 600_000
JSON_EVENTS = 300_000
CHECKED_FIRST, CHECKED_KEYS = 20_000, 200
PEER_TOLERANCE = 1e-6


def run(root: Path, servers: Servers) -> Outcome:
    """Measure the gate's and the customer stage's processes, then each peer, and check what they answered."""
    return _run(root, servers, Work.of(EVENTS), Asked())


def run_json(root: Path, servers: Servers) -> Outcome:
    """Measure the same with one JSON record an event, as the peers send it."""
    return _run(root, servers, Work.of(JSON_EVENTS), Asked(json=True))


def _run(root: Path, servers: Servers, work: Work, asked: Asked) -> Outcome:
    truth = Truth(work.made.transactions)
    with BenchStack(root, servers, "w1") as stack:
        figures = measure(stack, work, asked)
        expected = truth.first(CHECKED_FIRST) | truth.of_some_keys(CHECKED_KEYS, workload("w1").seed)
        got = list(answers(stack, entity().columns, json=asked.json))
        checked = check("headrace", expected, got, len(work.records), 0.0)
        beside = _peers(root, stack, work, truth)
    whole = figures.pop("headrace")
    return Outcome(
        figures=whole,
        parts=figures,
        peers=beside,
        ratios={name: whole.events_per_cpu_s / peer.events_per_cpu_s for name, peer in beside.items()},
        seed=workload("w1").seed,
        notes=[
            f"by CPU seconds, on a backlog of {work.events:,} events behind a warm-up of {work.warm:,}",
            f"{checked:,} answers of headrace are the definition's, bit for bit",
            f"each peer's first {CHECKED_FIRST:,} answers are the definition's within {PEER_TOLERANCE:g}",
            "one JSON record an event" if asked.json else "as-of rows leave as record batches",
        ],
    )


def _peers(root: Path, stack: BenchStack, work: Work, truth: Truth) -> dict[str, Figures]:
    place = peers.Place(stack.kafka, stack.redis, root, stack.run.home / f"{stack.run.name}-peers")
    expected = truth.first(CHECKED_FIRST)
    found = {}
    for name in peers.PEERS:
        ran = peers.run(name, place, work.records)
        check(name, expected, ran.answers, peers.PEERS[name].events, PEER_TOLERANCE)
        found[name] = ran.figures
    return found


def check(who: str, expected: Expected, got: list[Answer], sent: int, tolerance: float) -> int:
    """Return how many answers were compared with the definition.

    Raises:
        StateError: E_BENCH_ANSWERS, there are not as many answers as payments, or some differ.
    """
    seen, wrong = differences(expected, got, tolerance)
    names = {name for name, _ in got}
    if len(got) != sent or len(names) != sent or wrong or not seen:
        raise StateError(
            "E_BENCH_ANSWERS",
            f"{who} gave {len(got)} answers to {sent} payments, {len(names)} different; {len(wrong)} of"
            f" {seen} differ from the definition: {wrong[:5]}",
            who, "its figures mean nothing until its answers are right",
        )  # fmt: skip
    return seen
