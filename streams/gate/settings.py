"""What an operator may set on the gate; read once, from the environment, by `headrace`."""

from pathlib import Path

import msgspec

from contracts.connections import KafkaConnection
from contracts.topics import PARTITIONS

BUSY_RECORDS_MAX = 2_000  # a larger batch is large enough


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One gate worker: what it gathers into a batch, and how often it notes how far it got.

    A batch is what arrives within `gather_ms` of its first record, at most `records_a_batch`; behind a full
    batch there is a backlog, and the next may hold `records_a_backlog_batch`. Behind one of `busy_records` to
    `BUSY_RECORDS_MAX` the next is gathered for `gather_busy_ms`: there is much to do, and a large batch costs
    every worker behind the gate less. At most `unacknowledged_max` records are on their way to Kafka.
    `partitions` are the run's: frames and letters are placed by them. The `lake` keeps what is known of the
    input: which topics it was, and what of it was lost.
    `member` is the worker's name in its group (static membership): who comes back under it has its partitions
    at once, where the group would else wait for the session of the one that died. Empty: always a new member.

    While there is a backlog, sources are read in step by event time: a partition with fewer than
    `align_behind_records` records to come counts as read to its end; one that delivers nothing for
    `align_wait_ms` is not waited for any longer, and no record that is to be scored is held for longer;
    `align_bytes` are held at most, and from half of that on partitions that are ahead are not read. What is
    sent on is cut into slices of event time of at least `align_slice_ms`, each with at least `align_run_rows`
    rows of a source for each partition.
    """

    kafka: KafkaConnection
    topic_prefix: str = ""
    partitions: int = PARTITIONS
    member: str = ""
    lake: Path | None = None
    gather_ms: float = 10.0
    gather_busy_ms: float = 100.0
    busy_records: int = 200
    records_a_batch: int = 5_000
    records_a_backlog_batch: int = 20_000
    commit_interval_ms: float = 200.0
    unacknowledged_max: int = 20_000
    delivery_timeout_ms: int = 120_000
    session_timeout_ms: int = 3000  # the broker's group.min.session.timeout.ms must allow it
    align_wait_ms: float = 2_000.0
    align_bytes: int = 33_554_432
    align_behind_records: int = 100
    align_slice_ms: int = 60_000
    align_run_rows: int = 300
    metrics_port: int = 0
    log_level: str = "info"
