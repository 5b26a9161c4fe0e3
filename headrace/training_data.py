"""What a training reads, by run: the lake and the batch features' history; and the same as a data frame."""

from pathlib import Path
from typing import Any

from features.project.running import RunningProject, project_at, project_of_process
from features.seeded import IMPORTED
from inference.offline.lake.lake import Lake
from inference.offline.training import training_set
from inference.offline.training.training_set import TrainingSet
from inference.offline.training.training_table import training_table
from runtime.environment import current_run, root
from runtime.run import Run
from runtime.run_project import project_of_run


def lake_of(run: Run, imported: bool = False, project: RunningProject | None = None) -> Lake:
    """Return a run's lake, or that of what was imported into it; None stands for this process's project."""
    return Lake(run.lake / IMPORTED if imported else run.lake, project or project_of_process())


def training_frame(run: str | Path | None = None, until_ms: int | None = None, imported: bool = False) -> Any:
    """Return what `headrace train` would train on, as a pandas frame: an event a row.

    Every value is the one that the event was served with; a label counts when it was known at the training
    moment. Columns are as `headrace training-set` writes them; a category is pandas' own.

    Args:
        run: its name or its home's folder; None for the current one.
        until_ms: the training moment, epoch ms; None for the newest moment of the lake.
        imported: of what was imported into the run, not of what it streamed.

    Raises:
        StateError: E_LAKE_EMPTY. ModelError: E_TRAIN_LABELS, no event has a label known by then.
        ConfigError: E_TRAIN_NO_LABEL; or there is no such run, or project.
    """
    found = current_run() if run is None else Run.named(root(), str(run))
    known = project_of_run(found.home)
    project = project_of_process() if known is None else project_at(known.folder)
    return training_table(training_data(found, project, until_ms, imported)).to_pandas()


def training_data(
    run: Run, project: RunningProject, until_ms: int | None, imported: bool = False
) -> TrainingSet:
    """Return a run's training set as of a moment, None for the lake's newest; raises as `training_frame`.

    Args:
        imported: of what was imported into the run, not of what it streamed.
    """
    lake = lake_of(run, imported, project)
    moment_ms = until_ms if until_ms is not None else training_set.newest_ms(lake)
    return training_set.build(lake, profiles(run, lake), moment_ms)


def profiles(run: Run, lake: Lake) -> Any:
    """Return where batch features come from; a lake without snapshots served none."""
    from inference.offline.lake.profile_history import FeastProfileHistory, NoProfileHistory

    views = lake.project.batch_views
    if not any(any((lake.folder / view.name).glob("*.parquet")) for view in views):
        return NoProfileHistory()
    from streams.store.feast.materialize import apply
    from streams.store.feast.repository import open_store

    store = open_store(run, lake.project)
    apply(store, run, lake.project)
    return FeastProfileHistory(store)
