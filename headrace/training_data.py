"""What a training reads, by run: the lake and the batch features' history."""

from pathlib import Path
from typing import Any

from inference.lake.lake import Lake


def profiles(home: Path, lake: Lake) -> Any:
    """Return where batch features come from; a lake without snapshots served none."""
    from features.catalog import CUSTOMER_PROFILE
    from inference.lake.profile_history import FeastProfileHistory, NoProfileHistory

    if not any((lake.folder / CUSTOMER_PROFILE.name).glob("*.parquet")):
        return NoProfileHistory()
    from feature_repo.materialize import apply
    from feature_repo.repository import open_store
    from feature_repo.run_home import RunHome

    store = open_store(RunHome(home))
    apply(store, RunHome(home))
    return FeastProfileHistory(store)
