"""What a training reads, by run: the lake and the batch features' history."""

from typing import Any

from inference.offline.lake.lake import Lake
from runtime.run import Run


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
