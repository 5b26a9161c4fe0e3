"""Hundreds of seeds: whatever strikes, what is durable is what the oracle says; and a seed is one run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.crash_points import SEAM_POINTS
from tests.simulation.__main__ import report
from tests.simulation.faults import CALM, POINTS
from tests.simulation.simulation import Simulation, simulate

SEEDS_A_TEST = 20
CHECKOUT = Path(__file__).resolve().parents[2]


def check(seeds: range) -> None:
    failed = [outcome for outcome in map(simulate, seeds) if outcome.wrong]
    assert not failed, "\n\n".join(report(outcome) for outcome in failed[:3])


@pytest.mark.parametrize("first", range(0, 320, SEEDS_A_TEST))
def test_nothing_is_lost_doubled_or_changed(first: int) -> None:
    check(range(first, first + SEEDS_A_TEST))


def test_records_of_strangers_between_the_stages_move_nothing() -> None:
    failed = [outcome for seed in range(12) if (outcome := simulate(seed, strangers=True)).wrong]
    assert not failed, "\n\n".join(report(outcome) for outcome in failed[:3])


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 5000, 200))
def test_nothing_is_lost_doubled_or_changed_in_thousands_of_runs(first: int) -> None:
    check(range(first, first + 200))


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_is_one_run(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)
    assert (first.digest, first.steps) == (second.digest, second.steps)


def test_a_seed_is_one_run_in_another_process_too() -> None:
    seeds = (5, 11, 23)
    code = f"from tests.simulation.simulation import simulate\nfor s in {seeds}: print(simulate(s).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(CHECKOUT)}
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [simulate(seed).digest for seed in seeds]


@pytest.mark.parametrize("point", POINTS)
def test_an_exception_at_any_seam_ends_the_worker_and_its_successor_makes_good(point: str) -> None:
    """No waiting for a fault's turn: whoever passes the point meets one soon."""

    @contextmanager
    def raised_soon(simulation: Simulation) -> Iterator[None]:
        faults = simulation.faults
        faults.weather, faults.budget = CALM._replace(step=0.01, raised=0.3, raised_at=(point,)), 4
        yield

    raised = 0
    for seed in range(40):
        outcome = simulate(seed, raised_soon)
        assert outcome.wrong == [], report(outcome)
        raised += outcome.faults.get(f"raised at {point}", 0)
        if raised >= 2:
            return
    assert raised, "never passed"


def test_every_seam_of_gate_and_stage_is_among_the_points() -> None:
    assert {point for point in SEAM_POINTS if point.startswith(("gate.", "stage."))} <= set(POINTS)


def test_faults_of_every_kind_do_strike() -> None:
    missing = {
        "crash", "crash_many", "zombies", "stop_one", "time_out", "hurt_store", "produce failed",
        "commit unknown", "MemoryError", "KafkaException", "TypeError", "OSError", "SystemExit",
        "store request late", "record delivered again", "record lost in Faust",
    }  # fmt: skip
    for seed in range(150):
        missing -= simulate(seed).faults.keys()
        if not missing:
            return
    pytest.fail(f"never struck: {missing}")
