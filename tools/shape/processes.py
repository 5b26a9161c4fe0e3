"""How many modules of ours each process imports: what its command imports, in a process of its own."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from tools.shape.text import imported

PROCESSES = {
    "gate": "gate", "stage": "stream", "scorer": "score", "api": "serve", "archive": "archive",
    "learner": "learn",
}  # fmt: skip
CHILD = """
import importlib, json, sys
for name in {modules!r}:
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.partition('.')[0] in {ours!r})))
"""


def process_modules(root: Path, ours: list[str]) -> dict[str, list[str]]:
    """Return the modules of ours that each process has once its command's imports are done.

    A command imports inside its function, so that `headrace --help` is quick: those imports count as well.
    What a worker imports only while it works does not; packages count as modules.
    """
    return {name: _loaded(root, command, ours) for name, command in PROCESSES.items()}


def _loaded(root: Path, command: str, ours: list[str]) -> list[str]:
    text = (root / "headrace" / "commands" / f"{command}.py").read_text()
    wanted = sorted({name for name in imported(ast.parse(text)) if name.partition(".")[0] in ours})
    modules = [f"headrace.commands.{command}", *wanted]
    loaded: list[str] = json.loads(run_in(root, CHILD.format(modules=modules, ours=tuple(ours))))
    return loaded


def run_in(root: Path, code: str) -> str:
    """Return what a Python process whose imports come from another checkout prints last.

    Raises:
        RuntimeError: it failed; the text is what it wrote.
    """
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    if answer.returncode:
        raise RuntimeError(f"the checkout {root} could not be measured:\n{answer.stderr}")
    return answer.stdout.strip().splitlines()[-1]
