"""Restore the online store from the changelogs: every key's newest row, written by compare-and-set.

The changelog holds what is checkpointed. A stage that runs knows more: rows that it wrote after its last
checkpoint, and that a flush took away, are in its state alone. So where a stage runs, its sentinel is taken
away instead of set, and the stage writes its rows once more by itself; the rebuild waits until it has.
"""

import time
from collections.abc import Callable

import msgspec
from confluent_kafka import KafkaException

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from runtime.kafka_clients import new_admin
from runtime.kafka_errors import is_transient
from runtime.redis_socket import RedisSocket
from streams.stage.changelog import ChangelogReader, restored
from streams.stage.core import StageRows
from streams.stage.definition import StageDefinition
from streams.stage.settings import StageSettings
from streams.stage.store import store_target
from streams.store.rows import StoreRows
from streams.store.settings import StoreSettings
from streams.store.writer import Events, OnlineStoreWriter, StoreTarget

PATIENT = StoreSettings(connect_timeout_ms=2000.0, breaker_ms=5000.0, reply_timeout_ms=5000.0)
WRITE_TIMEOUT_S = 600.0
REFILL_TIMEOUT_S = 60.0
COORDINATOR_TIMEOUT_S = 30.0
LOOK_S = 0.05
ASK_S = 1.0  # how often a group is asked for its members while a refill is awaited

Tell = Callable[[str], None]


class Rebuilt(msgspec.Struct, kw_only=True):
    """One stage's outcome: rows written, and the partitions whose running stage wrote them again."""

    rows: int = 0
    partitions: int = 0
    refilled_by_stage: list[int] = []


class StoreRebuild:
    """Restores the rows of one stage.

    Args:
        settings: of the stage; its store's time limits are replaced by patient ones.
        tell: told after each partition.
    """

    def __init__(self, definition: StageDefinition, settings: StageSettings, tell: Tell) -> None:
        self._definition, self._settings, self._tell = definition, settings, tell
        self._target: StoreTarget = store_target(definition, settings)

    def run(self) -> Rebuilt:
        """Write all partitions' rows.

        Raises:
            StateError: E_STATE_DEFINITIONS, the changelog is of other definitions.
            ClusterError: E_TOPIC_MISSING, E_STORE_DOWN, or E_REBUILD_STAGE (a running stage does not refill).
        """
        found, reader = Rebuilt(refilled_by_stage=[]), ChangelogReader(self._settings.kafka)
        connection = self._connect()
        try:
            found.partitions = reader.warm(self._definition.changelog_topic)
            if not found.partitions:
                raise ClusterError(
                    "E_TOPIC_MISSING", "the topic does not exist", self._definition.changelog_topic,
                    "name the run that it belongs to in HEADRACE_RUN",
                )  # fmt: skip
            for partition in range(found.partitions):
                self._rebuild(partition, reader, connection, found)
        finally:
            connection.close()
            reader.close()
        return found

    def _rebuild(
        self, partition: int, reader: ChangelogReader, connection: RedisSocket, found: Rebuilt
    ) -> None:
        """Restore one partition; one whose stage has gone meanwhile is begun anew.

        A worker that was stopped is a member of its group until its session ends (it may come back), so a
        stage may be taken for one that runs, and refill nothing.
        """
        while not self._rebuilt(partition, reader, connection, found):
            self._tell(
                f"{self._definition.name}/{partition}: its stage has stopped; its rows are written again"
            )

    def _rebuilt(
        self, partition: int, reader: ChangelogReader, connection: RedisSocket, found: Rebuilt
    ) -> bool:
        """Write a partition's rows; False where the stage that was to refill them has gone."""
        sentinel = self._target.sentinel
        is_live = self._is_live()
        taken, incarnation = self._state(partition, reader)
        mark = b"" if is_live else sentinel.begin(connection, partition, incarnation)
        rows = taken.latest()
        self.write(rows)
        if is_live or self._is_live():
            sentinel.forget(connection, partition)
            if not self._is_refilled(partition, connection):
                return False
            found.refilled_by_stage.append(partition)
        elif not sentinel.finish(connection, partition, mark):
            raise ClusterError(
                "E_STORE_EMPTIED", "the store was emptied meanwhile", str(partition), "run again"
            )
        found.rows += len(rows.keys)
        self._tell(f"{self._definition.name}/{partition}: {len(rows.keys):,} rows written")
        return True

    def _state(self, partition: int, reader: ChangelogReader) -> tuple[StageRows, int]:
        """Return a partition's state, and the incarnation that left it."""
        definition = self._definition
        where = f"{definition.changelog_topic}/{partition}"
        state = restored(
            reader.read(definition.changelog_topic, partition), definition.definitions_hash, where
        )
        rows = definition.rows(partition)
        rows.load(state.entries, state.marker.extra)
        return rows, state.marker.incarnation

    def write(self, rows: StoreRows) -> None:
        """Write the rows as a stage does, and wait until the store has them.

        Raises:
            ClusterError: E_STORE_DOWN.
        """
        reasons: list[str] = []
        events = Events(lambda *_: None, lambda: None, lambda _, why: reasons.append(why))
        writer = OnlineStoreWriter(self._target, PATIENT, events, time.monotonic)
        writer.start()
        ticket, deadline_s = writer.put(rows), time.monotonic() + WRITE_TIMEOUT_S
        while not writer.acknowledged(ticket):
            if writer.is_down or time.monotonic() > deadline_s:
                why = reasons[0] if reasons else f"no end in {WRITE_TIMEOUT_S:.0f} s"
                raise ClusterError("E_STORE_DOWN", why, repr(self._settings.redis), "is Redis running?")
            time.sleep(LOOK_S)
        writer.stop(PATIENT.reply_timeout_ms / 1e3)

    def _is_refilled(self, partition: int, connection: RedisSocket) -> bool:
        """Wait for the running stage to write its rows again; False where none runs any more."""
        deadline_s, ask_s = time.monotonic() + REFILL_TIMEOUT_S, time.monotonic() + ASK_S
        while not self._target.sentinel.is_whole(connection, partition):
            if time.monotonic() > ask_s:
                if not self._is_live():
                    return False
                ask_s = time.monotonic() + ASK_S
            if time.monotonic() > deadline_s:
                what = f"the running stage has not written its rows again in {REFILL_TIMEOUT_S:.0f} s"
                raise ClusterError(
                    "E_REBUILD_STAGE", what, f"{self._definition.name}/{partition}",
                    "read the stage's log, or stop it and run again",
                )  # fmt: skip
            time.sleep(LOOK_S)
        return True

    def _is_live(self) -> bool:
        return has_members(self._settings.kafka, self._definition.group)

    def _connect(self) -> RedisSocket:
        connection = RedisSocket(
            self._settings.redis, PATIENT.connect_timeout_ms / 1e3, PATIENT.reply_timeout_ms / 1e3
        )
        self._target.sentinel.meet(connection)
        return connection


def has_members(kafka: KafkaConnection, group: str) -> bool:
    """Return whether a consumer group has members at this moment; a young cluster is given time to know.

    Raises:
        ClusterError: E_GROUP_UNKNOWN, Kafka does not say.
    """
    admin = new_admin(kafka, "rebuild")
    deadline_s = time.monotonic() + COORDINATOR_TIMEOUT_S
    while True:
        try:
            asked = admin.describe_consumer_groups([group], request_timeout=10.0)
            return bool(asked[group].result(15.0).members)
        except KafkaException as error:
            if not is_transient(error) or time.monotonic() > deadline_s:
                raise ClusterError(
                    "E_GROUP_UNKNOWN", str(error), group, "is the whole cluster up? then run this again"
                ) from error
        time.sleep(LOOK_S)
