"""The runs of a root folder as a person chooses among them."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from headrace.processes import alive_pid
from runtime.run import FOLDER, Run

KINDS = {"demo": "a demo", "bench": "a benchmark", "chaos": "a chaos run", "scenario": "a scenario"}


class ListedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run: `created` is UTC, `workers` those that run now, `size_bytes` what its folder takes."""

    name: str
    home: str
    what: str
    created: str
    is_current: bool
    workers: list[str]
    partitions: int
    topic_prefix: str
    size_bytes: int


def listed(root: Path) -> list[ListedRun]:
    """Return every run, the oldest first."""
    link = root / FOLDER / "current"
    current = link.resolve() if link.exists() else None
    runs = [Run.load(root / FOLDER / "runs" / name) for name in Run.names(root)]
    return [_listed(run, current) for run in sorted(runs, key=lambda run: run.epoch)]


def _listed(run: Run, current: Path | None) -> ListedRun:
    kind = next((what for begin, what in KINDS.items() if run.name.startswith(begin)), "a deployment")
    return ListedRun(
        name=run.name,
        home=str(run.home),
        what=kind,
        created=datetime.fromtimestamp(run.epoch, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        is_current=run.home == current,
        workers=running_workers(run),
        partitions=run.partitions,
        topic_prefix=run.topic_prefix,
        size_bytes=_size_bytes(run.home),
    )


def running_workers(run: Run) -> list[str]:
    """Return the names of the run's workers that run on this machine."""
    names = []
    for path in sorted(run.ports.glob("*.json")):
        try:
            pid = msgspec.json.decode(path.read_bytes())["pid"]
        except (FileNotFoundError, msgspec.DecodeError):
            continue  # it starts or ends at this moment
        if alive_pid(pid):
            names.append(path.stem)
    return names


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # a worker tidies up
            continue
    return total
