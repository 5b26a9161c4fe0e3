"""The archive: every topic to the lake, in files that a rerun overwrites with the same rows.

A flush covers a partition from its committed offset on; its file is named by the topic's dataset, the
partition and the first offset, is whole before the offset is committed, and so is replaced by the same
rows when the archive was killed in between. The feature log is read by the one rule of all inter-stage
readers, with its lane numbers in the offset's metadata.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.crash_points import reach
from contracts.errors import Stop
from contracts.meaning import Meanings, note
from streams.archive.frames import OWN
from streams.archive.metrics import ArchiveMetrics
from streams.archive.parquet_files import file_path, publish, remove, remove_unfinished, write_part
from streams.archive.partition import ARCHIVED, PartitionBuffer, holder_for
from streams.archive.settings import ArchiveSettings

log = structlog.get_logger("headrace.archive")
COMMITTED_TIMEOUT_S = 10.0
FETCH_WAIT_MS = 250


class Archive:
    """One worker; several share the partitions through the consumer group."""

    def __init__(self, settings: ArchiveSettings, metrics: ArchiveMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._meanings = Meanings(tuple(OWN.own.values()), settings.lake)
        self._buffers: dict[tuple[str, int], PartitionBuffer] = {}
        self._consumer = Consumer(
            settings.kafka.librdkafka()
            | {
                "group.id": f"{settings.topic_prefix}archive",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "session.timeout.ms": settings.session_timeout_ms,
                # Nobody waits for the lake: few large fetches leave the broker to those who wait.
                "fetch.min.bytes": 1_048_576,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            }
        )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Read and write until `stopping`; then read what is already there, flush and leave the group.

        Raises:
            Stop: the consumer failed or an offset could not be committed.
        """
        remove_unfinished(self._settings.lake)
        for meaning in self._meanings.own.values():
            note(self._settings.lake, meaning)
        names = [self._settings.topic_prefix + topic for topic in ARCHIVED]
        self._consumer.subscribe(names, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not stopping():
            self._read(self._settings.poll_ms)
            self._flush(self._due())
        self._drain()
        self._flush(self._buffers.values())
        self._consumer.close()  # only at a clean end: leaving a group that has fenced us would wait for ever

    def _read(self, timeout_ms: float) -> int:
        messages = self._consumer.consume(self._settings.records_a_poll, timeout_ms / 1000)
        now_ms = time.monotonic() * 1000
        for place, group in itertools.groupby(messages, _place):
            buffer = self._buffers.get(place)
            if buffer is not None:  # else revoked since librdkafka handed it out
                buffer.add(list(group), now_ms)
        return len(messages)

    def _drain(self) -> None:
        deadline = time.monotonic() + self._settings.drain_ms / 1000
        quiet_ms = max(self._settings.poll_ms, 2 * FETCH_WAIT_MS)  # longer than the broker may hold back
        while self._read(quiet_ms) and time.monotonic() < deadline:
            self._flush(self._due())

    def _due(self) -> list[PartitionBuffer]:
        now_ms = time.monotonic() * 1000
        return [
            buffer
            for buffer in self._buffers.values()
            if buffer.rows >= self._settings.rows_a_file
            or (
                buffer.first_offset is not None
                and now_ms - buffer.since_ms >= self._settings.flush_interval_ms
            )
        ]

    def _flush(self, buffers: Iterable[PartitionBuffer]) -> None:
        """Write, make durable, then commit: a kill in between repeats the write, never loses a row."""
        filled = [buffer for buffer in buffers if buffer.first_offset is not None]
        if not filled:
            return
        with self._metrics.flush_seconds.time():
            begins = [buffer.begin for buffer in filled]
            offsets, files = zip(*[self._write(buffer) for buffer in filled], strict=True)
            reach("archive.in_write")
            self._fence(begins)
            for path, part in itertools.chain.from_iterable(files):
                if part is None:
                    remove(path)
                else:
                    publish(part, path)
            reach("archive.before_commit")
            self._commit(list(offsets))
            reach("archive.after_commit")
        for offset in offsets:
            self._metrics.next_offset.labels(offset.topic, offset.partition).set(offset.offset)

    def _write(self, buffer: PartitionBuffer) -> tuple[TopicPartition, list[tuple[Path, Path | None]]]:
        """Write what is buffered under names of our own; return what is then done, and (path, file to be)."""
        first, tables = buffer.drain()
        files: list[tuple[Path, Path | None]] = []
        for dataset in buffer.holder.datasets:
            path = file_path(self._settings.lake, dataset, buffer.partition, first)
            if dataset in tables:
                files.append((path, write_part(tables[dataset], path, first, buffer.next_offset, tables)))
                self._metrics.rows.labels(dataset).inc(tables[dataset].num_rows)
                self._metrics.files.labels(dataset).inc()
            else:
                files.append((path, None))
        return self._reached(buffer), files

    def _reached(self, buffer: PartitionBuffer) -> TopicPartition:
        return TopicPartition(
            buffer.topic,
            buffer.partition,
            buffer.next_offset,
            metadata=buffer.holder.metadata(),
        )

    def _fence(self, begins: list[TopicPartition]) -> None:
        """Commit what is committed already: refused when the group has given the partition to another.

        A worker that was paused for longer than its session would else replace its successor's file, which
        begins at the same offset and may hold more, by its own.
        """
        self._commit_now(begins)

    def _commit(self, offsets: list[TopicPartition]) -> None:
        self._commit_now(offsets)

    def _commit_now(self, offsets: list[TopicPartition]) -> None:
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            raise Stop(74, "E_ARCHIVE_COMMIT", str(error)) from error
        failed = [str(offset.error) for offset in done if offset.error]
        if failed:
            raise Stop(74, "E_ARCHIVE_COMMIT", "; ".join(failed))

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            committed = consumer.committed(partitions, COMMITTED_TIMEOUT_S)
        except KafkaException as error:
            raise Stop(75, "E_ARCHIVE_COMMITTED", str(error)) from error
        for place in committed:
            topic = place.topic.removeprefix(self._settings.topic_prefix)
            holder = holder_for(topic, place.metadata or "", self._bad, self._meanings)
            self._buffers[place.topic, place.partition] = PartitionBuffer(
                place.topic, place.partition, holder
            )
        log.info("assigned", partitions=[f"{p.topic}/{p.partition}" for p in partitions])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._flush([self._buffers[p.topic, p.partition] for p in partitions])
        self._lost(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._buffers.pop((place.topic, place.partition), None)

    def _bad(self, what: str, where: str) -> None:
        if what == "gap":
            self._metrics.gaps.labels(where).inc()
        else:
            self._metrics.refused.labels("features.log").inc()
        log.warning(f"feature log record {what}", where=where)


def _place(message: Message) -> tuple[str, int]:
    """Return topic and partition of a record.

    Raises:
        Stop: it is no record but an error of the consumer.
    """
    error = message.error()
    if error is not None:
        raise Stop(70, "E_ARCHIVE_CONSUME", error.str(), f"{message.topic()}/{message.partition()}")
    return message.topic() or "", message.partition() or 0
