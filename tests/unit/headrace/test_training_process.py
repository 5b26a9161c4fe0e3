"""A training as a child: its entry or its error is read once it has ended, and it ends with its parent."""

import os
import sys
from pathlib import Path

import pytest

from contracts.errors import Stop
from headrace import training_process
from headrace.training_process import ChildTrainer
from inference.learning.ports import Outcome
from tests.waiting import until


@pytest.fixture
def trainer(tmp_path: Path) -> ChildTrainer:
    """A trainer in a folder without a run, so that the real command ends with an error of ours."""
    environment = os.environ | {"HEADRACE_ROOT": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("HEADRACE_RUN", None)
    return ChildTrainer(tmp_path / "logs", environment=environment)


def ended(trainer: ChildTrainer) -> Outcome:
    found: list[Outcome] = []

    def look() -> bool:
        outcome = trainer.outcome()
        if outcome is not None:
            found.append(outcome)
        return bool(found)

    until(look, timeout_s=60, what="the training ends")
    return found[0]


def test_an_error_of_the_training_is_its_outcome_once(trainer: ChildTrainer) -> None:
    assert trainer.outcome() is None
    trainer.start(5)
    with pytest.raises(Stop, match="E_TRAINING_RUNS"):
        trainer.start(6)
    assert ended(trainer).code == "E_RUN_NONE"
    assert trainer.outcome() is None
    trainer.start(7)  # and may begin again
    assert ended(trainer).code == "E_RUN_NONE"


def test_a_training_that_prints_its_entry_names_the_candidate() -> None:
    entry = '{\n  "id": "fraud/0002-ab",\n  "stage": "candidate"\n}\n'
    assert training_process._outcome(f"warning\n{entry}", 0) == Outcome(model="fraud/0002-ab")
    assert training_process._outcome("Killed", -9).code == "E_TRAINING_ENDED"
