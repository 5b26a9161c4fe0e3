"""Which back end a registry has: the folder, or MLflow with the folder as its mirror."""

from pathlib import Path

from inference.release.mirror import MirroredStore
from inference.release.mlflow_store import MlflowStore
from inference.release.registry_store import FolderStore, RegistryStore


def store_of(models: Path, secret: str = "", mlflow: str = "") -> RegistryStore:
    """Return the store of a models' folder; nothing is connected to yet.

    Args:
        secret: signs releases, where it is not empty.
        mlflow: URI of MLflow, empty where the folder is the registry.

    >>> type(store_of(Path("no/such/models"))).__name__
    'FolderStore'
    """
    if not mlflow:
        return FolderStore(models, secret)
    return MirroredStore(MlflowStore(mlflow, models, secret), models)
