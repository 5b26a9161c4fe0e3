"""Hundreds of seeds: whatever strikes, what is durable is what the oracle says; and a seed is one run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import report
from tests.simulation.simulation import simulate

SEEDS_A_TEST = 40
CHECKOUT = Path(__file__).resolve().parents[2]


def check(seeds: range) -> None:
    failed = [outcome for outcome in map(simulate, seeds) if outcome.wrong]
    assert not failed, "\n\n".join(report(outcome) for outcome in failed[:3])


@pytest.mark.parametrize("first", range(0, 320, SEEDS_A_TEST))
def test_nothing_is_lost_doubled_or_changed(first: int) -> None:
    check(range(first, first + SEEDS_A_TEST))


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


def test_faults_of_every_kind_do_strike() -> None:
    missing = {
        "crash", "crash_many", "zombies", "stop_one", "time_out", "hurt_store", "produce failed",
        "commit unknown", "store request late", "record delivered again", "record lost in Faust",
    }  # fmt: skip
    for seed in range(150):
        missing -= simulate(seed).faults.keys()
        if not missing:
            return
    pytest.fail(f"never struck: {missing}")
