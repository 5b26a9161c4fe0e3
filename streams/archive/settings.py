"""What an operator may set on the archive; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One archive worker: where from, where to, and how large its files grow.

    A file is written when a partition holds `rows_a_file` rows, or `flush_interval_ms` after its first one.
    A stop reads on for at most `drain_ms`, so that what was already published is in the lake. `member` is the
    worker's name in its group (static membership), as the gate's.
    """

    kafka: KafkaConnection
    lake: Path
    topic_prefix: str = ""
    member: str = ""
    rows_a_file: int = 20_000
    flush_interval_ms: float = 5000.0
    drain_ms: float = 2000.0
    poll_ms: float = 200.0
    records_a_poll: int = 10_000
    session_timeout_ms: int = 6000
    metrics_port: int = 0
    log_level: str = "info"
