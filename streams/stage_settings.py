"""What an operator may set on a stage; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection, RedisConnection
from contracts.topics import PARTITIONS


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the writer of the online store waits, and for what.

    A Redis that has not answered a write within `breaker_ms` is taken as down: outputs go on without it and
    its rows wait. Only after `reply_timeout_ms` is the connection given up, so that a busy moment of the
    machine does not cost a new one. With `tiles` a row carries its key's packed state, from which a reader
    after the event has the values as of any later moment.
    """

    connect_timeout_ms: float = 50.0
    breaker_ms: float = 50.0
    reply_timeout_ms: float = 500.0
    probe_interval_ms: float = 250.0
    sentinel_interval_ms: float = 1000.0
    rows_a_write: int = 1000
    tiles: bool = True


class StageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of one stage.

    `epoch` grows with every run, so that a store that outlives a run never mistakes an old position for a
    new one; `data_folder` is Faust's own.
    """

    kafka: KafkaConnection
    redis: RedisConnection
    data_folder: Path
    topic_prefix: str = ""
    epoch: int = 0
    partitions: int = PARTITIONS
    project: str = "headrace"
    store: StoreSettings = StoreSettings()
    gather_ms: float = 1.0
    store_wait_ms: float = 50.0
    checkpoint_interval_ms: float = 1000.0
    tick_ms: float = 20.0
    records_waiting_max: int = 64
    records_unacknowledged_max: int = 2000
    session_timeout_s: float = 3.0  # the broker's group.min.session.timeout.ms must allow it
    heartbeat_interval_s: float = 0.75
    rebalance_wait_ms: float = 10_000.0
    stop_timeout_s: float = 4.0
    metrics_port: int = 0
    log_level: str = "info"
