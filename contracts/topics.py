"""Topics: who owns one, how it is keyed and kept; those that every project has.

`contracts.pipeline.Pipeline.topics` adds those of a project's sources and stages.
"""

from typing import Literal

import msgspec

from contracts.chain import LOG

DAY_MS = 86_400_000
PARTITIONS = 4


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic; `name` is without a run's prefix.

    >>> PREDICTIONS.full_name("demo.")
    'demo.predictions'
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
    made_again: bool = False  # may be made again within a run: others know it by its name alone

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


FEATURES_LOG = Topic(
    name=LOG, key="the last entity's", owner="the last stage",
    about="rows of all sources with all as-of values",
)  # fmt: skip
PREDICTIONS = Topic(
    name="predictions", key="the first entity's", owner="scorer",
    about="one decision an accepted record, JSON",
)  # fmt: skip
DRIFT = Topic(
    name="drift", key="detector", owner="scorer", about="drift alerts, JSON", partitions=1, single=True
)
REVIEWS = Topic(
    made_again=True, name="reviews", key="event_id", owner="scorer",
    about="events that a person should look at, JSON",
)  # fmt: skip
VERDICTS = Topic(
    made_again=True, name="verdicts", key="event_id", owner="analysts",
    about="what analysts found, JSON; nothing is taken back",
)  # fmt: skip
QUALITY = Topic(
    made_again=True, name="quality", key="kind", owner="learner", partitions=1, single=True,
    about="matured quality, fairness and retraining, JSON",
)  # fmt: skip
CHANGELOG_LEARNER = Topic(
    name="changelog.learner", key="state", owner="learner", partitions=1, single=True, compacted=True,
    about="which moments the learner has reported, and what it had read by then",
)  # fmt: skip
CLOCK = Topic(
    name="clock", key="none", owner="every worker", partitions=1, single=True, retention_ms=DAY_MS,
    log_append_time=True, about="empty records, by whose stamps workers compare clocks with the broker",
)  # fmt: skip


OF_EVERY_PROJECT = (PREDICTIONS, DRIFT, REVIEWS, VERDICTS, QUALITY, CHANGELOG_LEARNER)
