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

import pyarrow as pa
import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.crash_points import reach
from contracts.errors import Stop
from contracts.topics import FEATURES_LOG
from features.meaning import meanings_of
from features.project.running import RunningProject
from runtime.atomic_file import move_into_place
from runtime.health import Health
from runtime.input_ends import KafkaInputEnds
from runtime.input_record import InputRecord, logical, physical
from runtime.kafka_clients import new_consumer, static_member
from runtime.kafka_errors import is_end, is_transient, meaning_of
from runtime.log_ends import log_ends
from runtime.meaning_note import note
from runtime.unreadable import CODE, Passer, is_unreadable
from streams.archive.metrics import ArchiveMetrics
from streams.archive.parquet_files import file_path, reached, remove, remove_unfinished, write_part
from streams.archive.partition import PartitionBuffer, archived, datasets_of, holder_for
from streams.archive.settings import ArchiveSettings

log = structlog.get_logger("headrace.archive")
COMMITTED_TIMEOUT_S = ANSWER_S = 10.0
FETCH_WAIT_MS = 250
TOPICS_LOOK_MS = 5_000  # how soon partitions that were added are read
READER = "archive"
SAID_S = 10.0
LOOP_LIMIT_S = 120.0  # a flush of everything on a slow disk


class Archive:
    """One worker; several share the partitions through the consumer group."""

    def __init__(
        self, project: RunningProject, settings: ArchiveSettings, metrics: ArchiveMetrics,
        health: Health | None = None,
    ) -> None:  # fmt: skip
        health = health or Health()
        self._pipeline = project.pipeline
        self._settings = settings
        self._metrics = metrics
        self._loop_part = health.part("loop", LOOP_LIMIT_S)
        self._checkpoint_part = health.part("checkpoint", LOOP_LIMIT_S + settings.flush_interval_ms / 1e3)
        self._meanings = meanings_of(project.entities, settings.lake)
        self._input = InputRecord(settings.lake)
        self._fresh: list[TopicPartition] = []
        self._buffers: dict[tuple[str, int], PartitionBuffer] = {}
        self._said_s = -SAID_S
        self._passer = Passer(settings.kafka)
        self._ends = KafkaInputEnds(settings.kafka, settings.topic_prefix, settings.lake)
        self._consumer = new_consumer(
            settings.kafka,
            "archive",
            f"{settings.topic_prefix}archive",
            {
                **static_member(settings.member),
                "topic.metadata.refresh.interval.ms": TOPICS_LOOK_MS,
                "session.timeout.ms": settings.session_timeout_ms,
                # Nobody waits for the lake: few large fetches leave the broker to those who wait.
                "fetch.min.bytes": 1_048_576,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            },
        )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Read and write until `stopping`; then read what is already there, flush and leave the group.

        Raises:
            Stop: the consumer failed or an offset could not be committed.
        """
        remove_unfinished(self._settings.lake)
        for meaning in self._meanings.own.values():
            note(self._settings.lake, meaning)
        names = [self._settings.topic_prefix + topic for topic in archived(self._pipeline)]
        self._consumer.subscribe(names, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not stopping():
            self._read(self._settings.poll_ms)
            self._flush(self._due())
            self._say_healthy()
        self._drain()
        self._flush(self._buffers.values())
        self._consumer.close()  # only at a clean end: leaving a group that has fenced us would wait for ever

    def _say_healthy(self) -> None:
        self._loop_part.moved()
        if all(buffer.first_offset is None for buffer in self._buffers.values()):
            self._checkpoint_part.moved()

    def _read(self, timeout_ms: float) -> int:
        messages = self._consumer.consume(self._settings.records_a_poll, timeout_ms / 1000)
        reach("archive.turn")
        if self._fresh:  # assigned meanwhile: what was handed out may be from before
            self._consumer.assign(self._fresh)
            self._fresh, messages = [], []
        now_ms = time.monotonic() * 1000
        ends, records = _without_pauses(messages)
        for place, group in itertools.groupby(records, _place):
            buffer = self._buffers.get(place)
            if buffer is not None:  # else revoked since librdkafka handed it out
                self._take(buffer, list(group), now_ms)
        for message in ends:
            buffer = self._buffers.get((message.topic() or "", message.partition() or 0))
            if buffer is not None:
                buffer.pass_by(message.offset(), now_ms)
        return len(records)

    def _take(self, buffer: PartitionBuffer, messages: list[Message], now_ms: float) -> None:
        """Take records in; behind the readable ones a batch that cannot be unpacked is passed over."""
        good = [message for message in messages if message.error() is None]
        if good:
            buffer.add(good, now_ms)
        for message in (message for message in messages if message.error() is not None):
            passed = self._passer.look(message)
            if passed is not None and buffer.is_ahead(passed.first):
                self._consumer.seek(passed.next)
                buffer.pass_over(passed.first, passed.behind, now_ms)
                self._metrics.passed_over.labels(buffer.topic).inc()
                log.warning(
                    "records_passed_over", code=CODE, topic=buffer.topic, partition=buffer.partition,
                    first=passed.first, last=passed.behind - 1, dataset=buffer.aside_dataset,
                )  # fmt: skip

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
                (buffer.first_offset is not None or buffer.passed)
                and now_ms - buffer.since_ms >= self._settings.flush_interval_ms
            )
        ]

    def _flush(self, buffers: Iterable[PartitionBuffer]) -> None:
        """Write, make durable, then commit: a kill in between repeats the write, never loses a row."""
        buffers = list(buffers)
        filled = [buffer for buffer in buffers if buffer.first_offset is not None]
        self._pass([buffer for buffer in buffers if buffer.passed and buffer.first_offset is None])
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
                    move_into_place(part, path)
            reach("archive.before_commit")
            self._commit(list(offsets))
            self._checkpoint_part.moved()
            reach("archive.after_commit")
        for offset in offsets:
            self._metrics.next_offset.labels(offset.topic, offset.partition).set(offset.offset)

    def _pass(self, buffers: list[PartitionBuffer]) -> None:
        """Commit offsets that moved over what is no record."""
        if buffers:
            self._commit([self._reached(buffer) for buffer in buffers])
        for buffer in buffers:
            buffer.passed = False
            self._metrics.next_offset.labels(buffer.topic, buffer.partition).set(physical(buffer.next_offset))

    def _write(self, buffer: PartitionBuffer) -> tuple[TopicPartition, list[tuple[Path, Path | None]]]:
        """Write what is buffered under names of our own; return what is then done, and (path, file to be)."""
        first, tables, aside = buffer.drain()
        span = (first, buffer.next_offset)
        files = [self._file(buffer, buffer.aside_dataset, aside, span, ())]
        files += [
            self._file(buffer, dataset, tables.get(dataset), span, tables)
            for dataset in buffer.holder.datasets
        ]
        return self._reached(buffer), files

    def _file(
        self,
        buffer: PartitionBuffer,
        dataset: str,
        table: pa.Table | None,
        span: tuple[int, int],
        datasets: Iterable[str],
    ) -> tuple[Path, Path | None]:
        """Write one dataset's rows of the offsets `span`; return (path, file to be)."""
        path = file_path(self._settings.lake, dataset, buffer.partition, span[0])
        if table is None:
            return path, None
        self._metrics.rows.labels(dataset).inc(table.num_rows)
        self._metrics.files.labels(dataset).inc()
        return path, write_part(table, path, *span, datasets, buffer.holder.metadata())

    def _reached(self, buffer: PartitionBuffer) -> TopicPartition:
        return TopicPartition(
            buffer.topic,
            buffer.partition,
            physical(buffer.next_offset),
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
        reach("archive.on_assign")
        try:
            committed = consumer.committed(partitions, COMMITTED_TIMEOUT_S)
            begun = [self._begin(consumer, place) for place in committed]
        except KafkaException as error:
            raise Stop(75, "E_ARCHIVE_COMMITTED", str(error)) from error
        self._buffers |= {(buffer.topic, buffer.partition): buffer for buffer in begun}
        self._fresh = [
            TopicPartition(buffer.topic, buffer.partition, physical(buffer.next_offset)) for buffer in begun
        ]
        consumer.assign(self._fresh)
        log.info("assigned", partitions=[f"{p.topic}/{p.partition}@{p.offset}" for p in self._fresh])

    def _begin(self, consumer: Consumer, place: TopicPartition) -> PartitionBuffer:
        """Return what takes a partition's rows, from where they go on.

        Where the group's offset is gone (it expired, or the topic was made again), the lake says where it
        stood: its newest file names the next offset and the lanes as of there.

        Raises:
            StateError: E_INPUT_HOLE, records were deleted unread, and nobody has accepted that.
            Stop: E_OFFSET_AHEAD (72), the log ends before what was read.
        """
        topic, partition = place.topic.removeprefix(self._settings.topic_prefix), place.partition
        generation = self._input.generation(topic)
        low, high = (logical(each, generation) for each in log_ends(consumer, place, ANSWER_S))
        at, metadata = self._stood(topic, place, generation)
        if at is not None and at > high:
            what = f"read up to offset {physical(at)}, the log ends before {physical(high)}"
            raise Stop(72, "E_OFFSET_AHEAD", what, f"{topic}/{partition}")
        begin = low if at is None else self._input.go_on(READER, (topic, partition), at, low)

        def lost(lane: tuple[str, int, int]) -> None:
            log.warning("lost_in_hole", src=lane[0], frm=lane[1], to=lane[2])
            self._input.lost(lane, (topic, partition), READER)

        holder = holder_for(
            self._pipeline, topic, metadata, self._bad, self._meanings, self._ends, lost, generation
        )
        if begin != at and begin > logical(0, generation):
            holder.rejoin()
        return PartitionBuffer(place.topic, partition, holder, topic, begin, generation)

    def _stood(self, topic: str, place: TopicPartition, generation: int) -> tuple[int | None, str]:
        """Return the next offset and what is kept beside it; none where nothing was ever archived."""
        made = str(generation) if generation else ""
        is_log = topic == FEATURES_LOG.name
        if place.offset >= 0 and (is_log or (place.metadata or "") == made):
            return logical(place.offset, generation), place.metadata or ""
        found = reached(self._settings.lake, datasets_of(self._pipeline, topic), place.partition)
        if found is None or found.next_offset <= logical(0, generation):
            return None, ""
        return found.next_offset, found.metadata

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        held = [self._buffers.get((place.topic, place.partition)) for place in partitions]
        self._flush([buffer for buffer in held if buffer is not None])
        self._lost(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        reach("archive.on_revoke")
        for place in partitions:
            self._buffers.pop((place.topic, place.partition), None)
            self._passer.forget(place.topic, place.partition)
        self._fresh = []

    def _bad(self, what: str, where: str) -> None:
        """Count what was not taken: `where` is a lane that was checked, or a place in the log."""
        if what == "gap":
            self._metrics.gaps.labels(where).inc()
            log.warning("feature log record gap", where=where)
            return
        self._metrics.refused.labels("features.log", what).inc()
        if time.monotonic() - self._said_s >= SAID_S:
            self._said_s = time.monotonic()
            log.error(
                "frame_refused", code=what, where=where, next_step="the lake has it in features_log_set_aside"
            )


def _without_pauses(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Return messages that stand for a partition's end, and the others, less what only says to wait."""
    ends, others = list[Message](), list[Message]()
    for message in messages:
        error = message.error()
        if is_end(error):
            ends.append(message)
        elif error is not None and is_transient(error):
            log.warning("kafka_error", error=error.str())
        else:
            others.append(message)
    return ends, others


def _place(message: Message) -> tuple[str, int]:
    """Return topic and partition of a record.

    Raises:
        Stop: it is no record but an error of the consumer; E_INPUT_HOLE (73), records were deleted unread.
    """
    error = message.error()
    if error is not None and not is_unreadable(message):
        if meaning_of(error) == "hole":  # the next start says which offsets, and what goes on from there
            raise Stop(73, "E_INPUT_HOLE", error.str(), f"{message.topic()}/{message.partition()}")
        raise Stop(70, "E_ARCHIVE_CONSUME", error.str(), f"{message.topic()}/{message.partition()}")
    return message.topic() or "", message.partition() or 0
