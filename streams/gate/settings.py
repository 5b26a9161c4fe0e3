"""What an operator may set on the gate; read once, from the environment, by `headrace`."""

import msgspec

from contracts.connections import KafkaConnection


class GateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One gate worker: what it gathers into a batch, and how often it notes how far it got.

    A batch is what arrives within `gather_ms` of its first record, at most `records_a_batch`; behind a full
    batch there is a backlog, and the next may hold `records_a_backlog_batch`. At most `unacknowledged_max`
    records are on their way to Kafka.
    """

    kafka: KafkaConnection
    topic_prefix: str = ""
    gather_ms: float = 10.0
    records_a_batch: int = 5_000
    records_a_backlog_batch: int = 20_000
    commit_interval_ms: float = 200.0
    unacknowledged_max: int = 20_000
    delivery_timeout_ms: int = 120_000
    session_timeout_ms: int = 3000  # the broker's group.min.session.timeout.ms must allow it
    metrics_port: int = 0
    log_level: str = "info"
