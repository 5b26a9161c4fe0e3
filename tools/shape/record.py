"""What one payment passes on its way to a decision: the walk, run in the checkout that is measured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

WALK = Path(__file__).with_name("walk.py")


class Passed(NamedTuple):
    """Names of what was entered and of what carried the record, as `tools/shape/walk.py` defines them."""

    modules: list[str]
    functions: list[str]
    carriers: list[str]


def one_record(root: Path, ours: list[str]) -> Passed:
    """Return what one payment passes in the checkout at `root`.

    Raises:
        RuntimeError: the walk failed there; names of the service have changed and the walk has not.
    """
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(WALK), ",".join(ours)]
    answer = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=500)
    if answer.returncode:
        raise RuntimeError(f"{WALK} does not fit the checkout {root}:\n{answer.stderr}")
    return Passed(**json.loads(answer.stdout.splitlines()[-1]))
