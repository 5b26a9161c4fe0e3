"""The table of topics: what exists, who owns it, how it is keyed and kept.

Every process reads names and partition counts from here; `headrace up` creates the topics from it and
`headrace doctor` refuses a cluster that differs.
"""

from typing import Literal

import msgspec

DAY_MS = 86_400_000
PARTITIONS = 4


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic; `name` is without a run's prefix.

    >>> TRANSACTIONS.full_name("demo.")
    'demo.transactions'
    """

    name: str
    key: str
    owner: str
    about: str
    partitions: int = PARTITIONS
    single: bool = False  # one partition, whatever the run has
    retention_ms: int = 30 * DAY_MS
    compacted: bool = False
    log_append_time: bool = False

    def full_name(self, prefix: str) -> str:
        """Return the topic's name on the cluster."""
        return prefix + self.name

    def configs(self) -> dict[str, str]:
        """Return the broker's topic settings that must hold."""
        timestamp: Literal["LogAppendTime", "CreateTime"] = (
            "LogAppendTime" if self.log_append_time else "CreateTime"
        )
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": "-1" if self.compacted else str(self.retention_ms),
            "message.timestamp.type": timestamp,
        }


TRANSACTIONS = Topic(
    name="transactions", key="customer_id", owner="producers", log_append_time=True,
    about="payments as published, JSON",
)  # fmt: skip
LABELS = Topic(
    name="labels", key="transaction_id", owner="producers", log_append_time=True,
    about="what a payment turned out to be, JSON",
)  # fmt: skip
TRANSACTIONS_DLQ = Topic(
    name="transactions.dlq", key="as the refused record", owner="gate, customer stage",
    about="refused payments, bytes unchanged, code and origin in headers",
)  # fmt: skip
LABELS_DLQ = Topic(
    name="labels.dlq", key="as the refused record", owner="gate", about="refused labels, likewise",
)  # fmt: skip
EVENTS_CUSTOMER = Topic(
    name="events.customer", key="customer_id", owner="gate", about="accepted payments as record batches",
)  # fmt: skip
EVENTS_TERMINAL = Topic(
    name="events.terminal", key="terminal_id", owner="customer stage, gate",
    about="payments with the customer's as-of values, and labels, as record batches",
)  # fmt: skip
FEATURES_LOG = Topic(
    name="features.log", key="terminal_id", owner="terminal stage",
    about="payments with all as-of values, and labels, in events.terminal's order",
)  # fmt: skip
PREDICTIONS = Topic(
    name="predictions", key="customer_id", owner="scorer", about="one decision an accepted payment, JSON",
)  # fmt: skip
DRIFT = Topic(
    name="drift", key="detector", owner="scorer", about="drift alerts, JSON", partitions=1, single=True
)
REVIEWS = Topic(
    name="reviews", key="transaction_id", owner="scorer", about="payments that a person should look at, JSON",
)  # fmt: skip
VERDICTS = Topic(
    name="verdicts", key="transaction_id", owner="analysts",
    about="what analysts found, JSON; nothing is taken back",
)  # fmt: skip
QUALITY = Topic(
    name="quality", key="kind", owner="learner", partitions=1, single=True,
    about="matured quality, fairness and retraining, JSON",
)  # fmt: skip
CHANGELOG_LEARNER = Topic(
    name="changelog.learner", key="state", owner="learner", partitions=1, single=True, compacted=True,
    about="which moments the learner has reported, and what it had read by then",
)  # fmt: skip
CHANGELOG_CUSTOMER = Topic(
    name="changelog.customer", key="customer_id", owner="customer stage", compacted=True,
    about="the stage's state and markers, one partition an input partition",
)  # fmt: skip
CHANGELOG_TERMINAL = Topic(
    name="changelog.terminal", key="terminal_id", owner="terminal stage", compacted=True,
    about="the stage's state and markers, one partition an input partition",
)  # fmt: skip

TOPICS: tuple[Topic, ...] = (
    TRANSACTIONS, LABELS, TRANSACTIONS_DLQ, LABELS_DLQ, EVENTS_CUSTOMER, EVENTS_TERMINAL, FEATURES_LOG,
    PREDICTIONS, DRIFT, REVIEWS, VERDICTS, QUALITY, CHANGELOG_LEARNER, CHANGELOG_CUSTOMER, CHANGELOG_TERMINAL,
)  # fmt: skip


def table(partitions: int) -> tuple[Topic, ...]:
    """Return the table for a run with that many partitions: as many as workers of a kind, not more.

    >>> {topic.name: topic.partitions for topic in table(1)}["predictions"]
    1
    """
    return tuple(
        topic if topic.single else msgspec.structs.replace(topic, partitions=partitions) for topic in TOPICS
    )
