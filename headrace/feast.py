"""What Feast finds of headrace, by name: the stores of a project's `feature_store.yaml`, and its objects.

A project's folder has a file of two lines beside it:

    from headrace.feast import objects
    globals().update(objects(__file__))
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.project.running import project_at
from runtime.environment import current_run
from streams.store.feast.offline_store import LakeOfflineStore, LakeOfflineStoreConfig
from streams.store.feast.online_store import RunOnlineStore, RunOnlineStoreConfig
from streams.store.feast.registry_store import RunRegistryStore
from streams.store.feast.repository import declared

__all__ = [
    "LakeOfflineStore", "LakeOfflineStoreConfig", "RunOnlineStore", "RunOnlineStoreConfig",
    "RunRegistryStore", "objects",
]  # fmt: skip


def objects(file: str) -> Mapping[str, Any]:
    """Return every Feast object of the project whose folder a file lies in, by name, for the current run.

    Raises:
        ConfigError: E_RUN_NONE or E_RUN_UNKNOWN, there is no run; as `running_project`.
    """
    found = declared(project_at(str(Path(file).resolve().parent)), current_run())
    return {item.name: item for item in found.objects}
