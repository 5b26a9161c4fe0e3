"""What an operator may set on a stage; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection, RedisConnection
from contracts.topics import PARTITIONS
from streams.store.settings import StoreSettings

BUSY_ROWS_MAX = 2_000  # a larger batch is large enough


class StageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of one stage.

    `epoch` grows with every run, so that a store that outlives a run never mistakes an old position for a
    new one; `data_folder` is Faust's own. The `lake` keeps what is known of the input: what of it was lost.
    `state_mib_max` bounds the state of the worker's partitions together (0: 30 % of the memory that the
    process may use); at the bound it stops with E_STATE_LIMIT. `member` is the worker's name in its group
    (static membership): who comes back under it has its partitions at once. Empty: always a new member.
    Behind a batch of `busy_rows` to `BUSY_ROWS_MAX` the next is gathered for `gather_busy_ms` instead of
    `gather_ms`: there is much to do, and large batches cost less.
    """

    kafka: KafkaConnection
    redis: RedisConnection
    data_folder: Path
    topic_prefix: str = ""
    member: str = ""
    lake: Path | None = None
    epoch: int = 0
    partitions: int = PARTITIONS
    project: str = "headrace"
    store: StoreSettings = StoreSettings()
    gather_ms: float = 1.0
    gather_busy_ms: float = 40.0
    busy_rows: int = 150
    store_wait_ms: float = 50.0
    checkpoint_interval_ms: float = 1000.0
    tick_ms: float = 20.0
    records_waiting_max: int = 64
    records_unacknowledged_max: int = 2000
    state_mib_max: int = 0
    session_timeout_s: float = 3.0  # the broker's group.min.session.timeout.ms must allow it
    heartbeat_interval_s: float = 0.75
    rebalance_wait_ms: float = 10_000.0
    stop_timeout_s: float = 4.0
    metrics_port: int = 0
    log_level: str = "info"
