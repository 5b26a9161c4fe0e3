"""The long chaos runs: every kind of fault, minutes a seed; and a service made wrong on purpose."""

from pathlib import Path

import pytest

from contracts.crash_points import ACK_BEFORE_WRITE, COMMIT_EARLY, SWALLOW
from load.chaos.plan import ChaosPlan
from load.chaos.run import run_chaos
from load.oracle.judge import judge

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1500)]


def quiet(_text: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("seed", range(101, 104))
def test_every_kind_of_fault_costs_no_value(seed: int, tmp_path: Path) -> None:
    outcome = run_chaos(ChaosPlan(seed=seed), tmp_path / "run", tell=quiet)
    verdict = judge(outcome.dump)
    assert verdict.clean, (verdict.counts, verdict.examples)
    assert outcome.facts["stalled"] == ""
    assert len({struck.name for struck in outcome.struck}) > 8


@pytest.mark.parametrize(("fault", "found"), [(COMMIT_EARLY, "lost"), (ACK_BEFORE_WRITE, "store_mismatch")])
def test_the_oracle_finds_a_service_that_is_wrong(fault: str, found: str, tmp_path: Path) -> None:
    plan = ChaosPlan(
        seed=9, minutes=3.0, rate=150.0, faults=("point:stage.after_commit",), faults_max=3, patience_s=25.0
    )
    outcome = run_chaos(plan, tmp_path / "run", {"HEADRACE_PLANTED_FAULT": fault}, tell=quiet)
    assert judge(outcome.dump).counts[found] > 0


def test_a_worker_that_swallows_an_exception_is_found(tmp_path: Path) -> None:
    plan = ChaosPlan(seed=9, minutes=2.0, rate=150.0, faults=("raise:gate.turn",), faults_max=1)
    outcome = run_chaos(plan, tmp_path / "run", {"HEADRACE_PLANTED_FAULT": SWALLOW}, tell=quiet)
    assert outcome.facts["swallowed"] == 1
