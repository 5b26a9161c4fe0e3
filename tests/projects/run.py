"""One seed: a project drawn, written, loaded, run with crashes in the simulation, and judged."""

import random
import tempfile
from pathlib import Path
from typing import Any

from features.project.running import RunningProject, running_project
from tests.projects.drawn import Drawn, draw
from tests.projects.judging import judged
from tests.projects.records import Records
from tests.simulation.scene import SECRET, Scene
from tests.simulation.simulation import Outcome, simulate
from tests.simulation.workers import EPOCH


def run(seed: int) -> Outcome:
    """Run the project of a seed, with the crashes of the same seed."""
    drawn = draw(seed)
    with tempfile.TemporaryDirectory() as folder:
        project = running_project(drawn.write(Path(folder) / drawn.name))
        return simulate(seed, scene=scene_of(drawn, project))


def scene_of(drawn: Drawn, project: RunningProject) -> Scene:
    """Return a drawn project in the simulation."""

    def judge(simulation: Any) -> list[str]:
        partitions = simulation.broker.partitions["features.log"]
        return judged(simulation, drawn.told(EPOCH, partitions, SECRET))

    def producers(rng: random.Random, partitions: int) -> Records:
        return Records(drawn.sources, rng, partitions)

    return Scene(project, producers, judge)
