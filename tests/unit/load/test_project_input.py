"""A chaos run asks a project's generator for records as its pages say, and for nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from features.project.running import RunningProject, running_project
from load.chaos.plan import ChaosPlan
from load.chaos.project_input import make_project_input

LOGINS = Path(__file__).parents[3] / "examples" / "logins"
PLAN = ChaosPlan(seed=5, minutes=0.5, rate=10.0)
GENERATOR = """\
WORKLOADS = {"demo": {"seed": 1, "most": MOST}}

def records(workload, events=None):
    return {
        "resets": [
            {"reset_id": f"r{workload['seed']}-{n}", "at": f"2025-01-01T00:{n // 60:02d}:{n % 60:02d}Z",
             "account": {"id": "a1"}, "method": "sms"}
            for n in range(min(events, workload["most"]))
        ],
    }
"""


def project(folder: Path, most: int) -> RunningProject:
    """Return the logins with a generator that knows only what docs/projects.md says."""
    shutil.copytree(LOGINS, folder)
    (folder / "generate.py").write_text(GENERATOR.replace("MOST", str(most)))
    return running_project(folder)


def test_the_runs_seed_takes_the_place_of_the_workloads(tmp_path: Path) -> None:
    made = make_project_input(PLAN, project(tmp_path / "logins", most=1_000))
    assert len(made.records) == PLAN.records == 300
    ids = {json.loads(sent.record[1] or b"")["reset_id"] for sent in made.records if sent.at_ms}
    assert ids
    assert all(name.startswith("r5-") for name in ids)


def test_a_generator_that_makes_too_few_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"E_CHAOS_INPUT: the generator makes 90 records.* sends 300"):
        make_project_input(PLAN, project(tmp_path / "logins", most=90))
