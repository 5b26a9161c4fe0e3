"""One short chaos run on servers of its own, judged by the oracle, which planted faults judge in turn."""

import pytest

from load.chaos.plan import ChaosPlan
from load.chaos.run import SEEN, Outcome, run_chaos
from load.oracle.judge import judge
from load.oracle.planted import FAULTS, plant_all

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
# One of each group; the rest belongs to the long runs.
SHORT = (
    "kill:stream-customer", "point:stage.before_checkpoint", "raise:scorer.turn", "redis:flush",
    "malformed:events.terminal",
)  # fmt: skip


def quiet(_text: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    plan = ChaosPlan(seed=1, minutes=4.0, rate=200.0, faults=SHORT, faults_max=len(SHORT))
    return run_chaos(plan, tmp_path_factory.mktemp("chaos") / "run", tell=quiet)


def test_nothing_is_lost_doubled_or_wrong_whatever_dies(outcome: Outcome) -> None:
    verdict = judge(outcome.dump)
    assert verdict.clean, (verdict.counts, verdict.examples)
    assert {struck.name for struck in outcome.struck} == set(SHORT), outcome.facts
    looked_at = verdict.looked_at
    assert looked_at["predictions"] > 2_000
    assert looked_at["dead_letters"] > 50
    assert looked_at["repeats_ignored"] > 20
    assert looked_at["late"] > 3
    assert looked_at["strangers"] >= 20
    assert looked_at["api_answers"] > 100
    assert looked_at["quality_records"] > 50
    assert [outcome.facts[name] for name in SEEN] == [0] * len(SEEN), outcome.facts["seen"]
    assert outcome.facts["api_answers"]["200"] > 10


def test_the_oracle_finds_each_planted_fault(outcome: Outcome) -> None:
    planted = list(plant_all(outcome.dump))
    assert len(planted) == len(FAULTS)
    assert [one.what for one in planted if not one.caught] == []
