"""What an operator may set on a scorer; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection, RedisConnection
from contracts.topics import PARTITIONS
from inference.drift.settings import DriftSettings
from inference.policy.settings import PolicySettings
from inference.reading.settings import ReaderSettings
from inference.release.settings import CanarySettings


class ScorerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of the scorer.

    `slot` numbers the workers of a run from 0: a worker that restarts under its number takes its partitions
    back at once and fences whatever its predecessor left open. Two live workers never share one.
    """

    kafka: KafkaConnection
    redis: RedisConnection
    models: Path
    models_secret: str = ""
    models_mlflow: str = ""
    lake: Path | None = None
    topic_prefix: str = ""
    epoch: int = 0
    partitions: int = PARTITIONS
    project: str = "headrace"
    slot: int = 0
    reader: ReaderSettings = ReaderSettings()
    policy: PolicySettings = PolicySettings()
    canary: CanarySettings = CanarySettings()
    drift: DriftSettings = DriftSettings()
    rows_max: int = 4096
    poll_ms: float = 100.0
    session_timeout_ms: int = 3000  # the broker's group.min.session.timeout.ms must allow it
    transaction_timeout_ms: int = 10_000
    model_look_ms: float = 250.0
    metrics_port: int = 0
    log_level: str = "info"

    @property
    def worker(self) -> str:
        """Name of the worker, unique and stable in its run."""
        return f"scorer-{self.slot}"

    @property
    def group(self) -> str:
        """Consumer group of the run's scorers."""
        return f"{self.topic_prefix}scorer"
