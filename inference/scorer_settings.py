"""What an operator may set on a scorer; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection, RedisConnection
from contracts.topics import PARTITIONS
from inference.drift_settings import DriftSettings
from inference.release_settings import CanarySettings


class ReaderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a read of the online store may take, how many keys go in one pipeline, when it is tried again.

    A Redis that does not answer within `reply_timeout_ms`, and `reply_timeout_key_ms` more for each key of
    the batch, is taken as down: scoring goes on without it, and one read each `probe_interval_ms` finds out
    whether it is back. A large batch is a backlog, which can wait; a small one is a caller who cannot.
    """

    connect_timeout_ms: float = 50.0
    reply_timeout_ms: float = 50.0
    reply_timeout_key_ms: float = 0.1
    keys_a_read: int = 500
    probe_interval_ms: float = 250.0
    profiles_remembered: int = 100_000


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the decision policy is, and how often it is looked at.

    Without `file` it is `policy.yaml` in the registry's folder, or the default that comes with the code.
    """

    file: Path | None = None
    look_ms: float = 1000.0


class ScorerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of the scorer.

    `slot` numbers the workers of a run from 0: a worker that restarts under its number takes its partitions
    back at once and fences whatever its predecessor left open. Two live workers never share one.
    """

    kafka: KafkaConnection
    redis: RedisConnection
    models: Path
    models_secret: str = ""
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
