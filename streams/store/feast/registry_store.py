"""Feast's registry as a file in the run's home, replaced in one step so that no reader sees half of it."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.repo_config import RegistryConfig

from runtime.atomic_file import replace_file
from runtime.environment import current_run


class RunRegistryStore(FileRegistryStore):
    """The registry of one run; a relative path is taken from the run's home."""

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        path = Path(registry_config.path)
        self._filepath = path if path.is_absolute() else current_run().home / path

    def _write_registry(self, registry_proto: Registry) -> None:
        registry_proto.version_id = str(uuid4())
        registry_proto.last_updated.FromDatetime(datetime.now(UTC))
        replace_file(self._filepath, registry_proto.SerializeToString())
