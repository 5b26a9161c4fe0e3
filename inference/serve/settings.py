"""What an operator may set on the HTTP door; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import RedisConnection
from contracts.topics import PARTITIONS
from inference.policy.settings import PolicySettings
from inference.reading.settings import ReaderSettings


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP door of a run.

    It answers at most `requests_max` callers at a time and lets `rows_waiting_max` events or questions wait
    for the one thread that computes; who comes beyond that is sent away at once with 503. Batches of callers
    are merged up to `rows_a_batch`. An address that is not this machine's loopback needs `allow_remote`.

    At most `connections_max` are open, and `connections_a_peer_max` of one address: a proxy in front of many
    callers is one. Headers must come within `head_timeout_ms`, a body within `body_timeout_ms`, and another
    request within `idle_timeout_ms`.
    """

    redis: RedisConnection
    models: Path
    models_secret: str = ""
    epoch: int = 0
    partitions: int = PARTITIONS
    project: str = "headrace"
    reader: ReaderSettings = ReaderSettings()
    policy: PolicySettings = PolicySettings()
    host: str = "127.0.0.1"
    port: int = 8700
    allow_remote: bool = False
    token: str = ""
    requests_max: int = 256
    rows_max: int = 256
    rows_waiting_max: int = 1024
    rows_a_batch: int = 64
    body_bytes_max: int = 1 << 20
    body_timeout_ms: float = 5000.0
    head_timeout_ms: float = 5000.0
    idle_timeout_ms: float = 30_000.0
    connections_max: int = 512
    connections_a_peer_max: int = 512
    retry_after_s: int = 1
    model_look_ms: float = 1000.0
    metrics_port: int = 0
    log_level: str = "info"
