"""Waiting until a run has come to rest: no open transaction, nothing unread, every row back in the store."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import cast

import redis
import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from contracts.connections import KafkaConnection, RedisConnection
from contracts.pipeline import Pipeline
from contracts.topics import CHANGELOG_LEARNER, FEATURES_LOG
from features.project.running import RunningProject, project_of_process
from inference.learning.settings import HOUR_MS, LearnerSettings
from load.chaos.reader import Reader
from load.chaos.records import read_all
from load.chaos.stack import ChaosStack, learns

TIMEOUT_S = 120.0
QUIET_TIMEOUT_S = 10.0
log = structlog.get_logger(__name__)


def reads(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return the topics that each group reads, without a run's prefix.

    >>> reads(project_of_process().pipeline)["gate"]
    ['transactions', 'labels']
    """
    return {
        "gate": list(pipeline.by_topic),
        **{f"stage-{link.name}": [link.input] for link in pipeline.chain.links},
        "scorer": [FEATURES_LOG.name],
        "archive": [*(topic.name for topic in pipeline.source_topics), FEATURES_LOG.name],
    }


class Rest:
    """Asks a cluster how far everybody of a project's run is."""

    def __init__(self, kafka: KafkaConnection, prefix: str, pipeline: Pipeline) -> None:
        self._kafka, self._prefix, self._reads = kafka, prefix, reads(pipeline)
        self._admin = AdminClient({**kafka.librdkafka(), "log_level": 2})  # type: ignore[dict-item]

    def open_transactions(self) -> int:
        """Return how many partitions end in a transaction that is neither committed nor aborted."""
        places = [place for topic in ("predictions",) for place in self._places(topic)]
        committed = self._ends(places, IsolationLevel.READ_COMMITTED)
        written = self._ends(places, IsolationLevel.READ_UNCOMMITTED)
        return sum(committed[place] != written[place] for place in committed)

    def unarchived(self, newest: Mapping[int, int]) -> int:
        """Return how many partitions of `predictions` the archive has not committed past their newest record.

        A partition that ends in a transaction's mark is never read to its very end.
        """
        committed = self._committed("archive", self._places("predictions"))
        return sum(place.offset <= newest.get(place.partition, -1) for place in committed)

    def lag(self, expired: Collection[str] = ()) -> dict[str, int]:
        """Return how many records each group has not committed; groups that are done are left out.

        Args:
            expired: groups whose offsets were taken away: where nothing came since, they have none.
        """
        lags = {}
        for group, topics in self._reads.items():
            places = [place for topic in topics for place in self._places(topic)]
            ends = self._ends(places, IsolationLevel.READ_UNCOMMITTED)
            behind = sum(
                max(0, ends[place.topic, place.partition] - max(0, place.offset))
                for place in self._committed(group, places)
                if place.offset >= 0 or group not in expired
            )
            if behind:
                lags[group] = behind
        return lags

    def _places(self, topic: str) -> list[TopicPartition]:
        name = self._prefix + topic
        known = self._admin.list_topics(name, QUIET_TIMEOUT_S).topics[name].partitions
        return [TopicPartition(name, number) for number in known]

    def _committed(self, group: str, places: list[TopicPartition]) -> list[TopicPartition]:
        look = Consumer(
            {
                **self._kafka.librdkafka(), "group.id": self._prefix + group, "enable.auto.commit": False,
                "isolation.level": "read_committed", "log_level": 2,
            }
        )  # fmt: skip
        try:
            return look.committed(places, QUIET_TIMEOUT_S)
        finally:
            look.close()

    def _ends(self, places: Iterable[TopicPartition], level: IsolationLevel) -> dict[tuple[str, int], int]:
        asked = self._admin.list_offsets(
            {place: OffsetSpec.latest() for place in places},  # type: ignore[no-untyped-call]
            isolation_level=level, request_timeout=QUIET_TIMEOUT_S,
        )  # fmt: skip
        return {
            (place.topic, place.partition): future.result(QUIET_TIMEOUT_S).offset
            for place, future in asked.items()
        }


def settle(stack: ChaosStack, reader: Reader, newest_ms: int) -> bool:
    """Wait until the run is at rest, with its workers still up; return whether it came to rest in time.

    Args:
        newest_ms: the newest event or label time that was sent, past which the learner has to report.
    """
    project = project_of_process()
    rest = Rest(stack.kafka, stack.run.topic_prefix, project.pipeline)
    state: dict[str, object] = {}

    def at_rest() -> bool:
        try:
            state.update(
                lag=rest.lag(stack.expired),
                open=rest.open_transactions(),
                archive=rest.unarchived(reader.newest),
            )
        except KafkaException as error:
            state.update(error=str(error))
            return False
        state.update(unfilled=unfilled(stack.redis, project, stack.run.partitions))
        if state["lag"] or state["open"] or state["archive"] or state["unfilled"]:
            return False
        if not learns(project):
            return True
        state.update(reported=reported_ms(stack))
        return cast(int, state["reported"]) >= due_ms(newest_ms)

    if stack.until(at_rest, TIMEOUT_S):
        return True
    log.warning("not_at_rest", **state)
    return False


def due_ms(newest_ms: int) -> int:
    """Return the last moment that the learner has to report when it has read up to a time."""
    settings = LearnerSettings(kafka=KafkaConnection(bootstrap_servers="-"), models=Path())
    return int(newest_ms - settings.grace_hours * HOUR_MS) // settings.step_ms * settings.step_ms


def reported_ms(stack: ChaosStack) -> int:
    """Return the last moment that the learner has reported, 0 before any."""
    states = read_all(stack.kafka, stack.run.topic_prefix + CHANGELOG_LEARNER.name)
    memory = json.loads(states[-1].value or b"")["memory"] if states else {}
    return int(memory.get("reported_ms") or 0)


def unfilled(to: RedisConnection, project: RunningProject, partitions: int) -> int:
    """Return how many stage partitions have not said that the store holds their rows."""
    with client(to) as store:
        marks = store.hgetall(f"headrace:{project.keyspace}:sentinel")
        server = store.info("server")["run_id"]
    whole = [
        mark for mark in marks.values() if mark.endswith(b":" + server.encode()) and b"refill" not in mark
    ]
    return len(project.entities) * partitions - len(whole)


def client(to: RedisConnection) -> redis.Redis:
    """Return a plain client of a run's database."""
    return redis.Redis(
        host=to.host, port=to.port, db=to.db, username=to.username or None, password=to.password or None,
        ssl=to.tls, socket_timeout=5.0,
    )  # fmt: skip
