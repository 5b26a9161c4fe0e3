"""What a training reads, by run: the lake and the batch features' history."""

from typing import Any

from features.project.running import project_of_process
from features.seeded import IMPORTED
from inference.offline.lake.lake import Lake
from runtime.run import Run


def lake_of(run: Run, imported: bool = False) -> Lake:
    """Return a run's lake, or that of what was imported into it, of this process's project."""
    return Lake(run.lake / IMPORTED if imported else run.lake, project_of_process())


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
