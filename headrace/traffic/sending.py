"""Files of any of a project's sources to the topics of a run: what `headrace produce` does."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError
from contracts.pipeline import Pipeline, SourceStream
from contracts.raw import RawBatch
from contracts.verdict import refused_of
from headrace.traffic.form import Form
from headrace.traffic.input_files import Record, Records, open_records
from headrace.traffic.pacing import at_rate, at_speed
from headrace.traffic.producer import RecordProducer
from headrace.traffic.replay import OutgoingRecords, Replay
from runtime.kafka_clients import new_admin

SLICE_EVENTS = 5_000
JUDGED_TOGETHER = 1_000
_Stamped = tuple[int, bytes | None, bytes | None]  # log time in ms, key, value
ANSWER_S = 4.0
NEWS_S = 5.0
SILENCE_S = 3.0  # without an acknowledgement that is waited for: then somebody should know
GIVE_UP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast: `rate` events a second, event time `speed` times as fast, or neither: as fast as possible."""

    rate: float | None = None
    speed: float | None = None
    limit: int | None = None


class Sending:
    """Files on their way, one a source; `counts` says at any moment what became of them.

    The scored source leads where it is sent, else the first that is named. What the others have goes out in
    its time: a label right behind the leading records before it, context between them. What falls due after
    the last leading record is not sent: nothing says yet that its time has come.

    Args:
        files: by the form of their records.
        report: is told of what the operator should know while it goes on, at most every few seconds.
    """

    def __init__(
        self, kafka: KafkaConnection, topic_prefix: str, files: Mapping[Form, Path], pace: Pace,
        report: Callable[[str], None] = lambda _text: None,
    ) -> None:  # fmt: skip
        self._pace = pace
        lead = next((form for form in files if form.source.is_scored), next(iter(files)))
        ordered = [lead, *(form for form in files if form is not lead)]
        going = [
            outgoing(
                form, open_records(files[form], form, pace.limit if form is lead else None), topic_prefix
            )
            for form in ordered
        ]
        self._moment_ms = going[0].records.moment_ms
        self._news = _News(report)
        sources = {one.topic: form.source for one, form in zip(going, ordered, strict=True)}
        self._producer = ValidatingProducer(kafka, sources, self._look)
        self._replay = Replay(self._producer, going[0], going[1:])
        self._began_s = time.monotonic()

    def run(self) -> dict[str, float]:
        """Send everything and return `counts`.

        Raises:
            ClusterError: E_PRODUCE_DELIVERY, E_PRODUCE_SILENT, E_PRODUCE_TIMEOUT; `counts` stays true then.
        """
        replay, count = self._replay, len(self._moment_ms)
        if self._pace.rate is not None:
            replay.pace(0, count, at_rate(count, self._pace.rate))
        elif self._pace.speed is not None:
            replay.pace(0, count, at_speed(self._moment_ms, self._pace.speed))
        else:
            replay.rush(0, count, SLICE_EVENTS, in_flight_max=None)
        self._producer.flush()
        self._producer.close()
        return self.counts

    @property
    def refused(self) -> Counter[tuple[str, str]]:
        """Return how many records the gate will refuse, by (input topic, code)."""
        return self._producer.refused

    @property
    def sent(self) -> Counter[str]:
        """Return how many records were sent, by the source's name."""
        return self._replay.sent

    @property
    def counts(self) -> dict[str, float]:
        """Return records sent by source, `acknowledged` of all, `seconds` and `events_per_second`."""
        seconds = time.monotonic() - self._began_s
        return {
            **self.sent,
            "acknowledged": self._producer.acknowledged,
            "seconds": round(seconds, 3),
            "events_per_second": round(self._producer.acknowledged / seconds, 1),
        }

    def _look(self, silent_s: float) -> None:
        """Say how far it is, or that nothing moves; give up in the end."""
        acknowledged = self._producer.acknowledged
        if silent_s < SILENCE_S:
            self._news.progress(f"{acknowledged:,} acknowledged of {self._producer.sent:,} sent")
            return
        left = self._producer.sent - acknowledged
        if silent_s > GIVE_UP_S:
            raise ClusterError(
                "E_PRODUCE_SILENT", f"Kafka has acknowledged nothing for {silent_s:.0f} s:"
                f" {acknowledged:,} records are in the log, {left:,} may or may not be", "",
                "see that Kafka answers (`headrace doctor`), then send what is missing again: ids repeated"
                " within 24 h are taken once",
            )  # fmt: skip
        self._news.trouble(
            f"Kafka has acknowledged nothing for {silent_s:.0f} s: {acknowledged:,} records are"
            f" in the log, {left:,} wait; given up after {GIVE_UP_S:.0f} s"
        )


class ValidatingProducer(RecordProducer):
    """A producer that counts what the contract in force refuses; it is sent all the same.

    The gate's validation is a pure function of a record, its timestamp and the contract, so the producer can
    tell what will become of its records before anything has read them.
    """

    def __init__(
        self, kafka: KafkaConnection, sources: Mapping[str, SourceStream], on_look: Callable[[float], None]
    ) -> None:
        super().__init__(kafka, on_look=on_look)
        self._sources = sources
        self._refused: Counter[tuple[str, str]] = Counter()
        self._waiting = {topic: list[_Stamped]() for topic in sources}

    @property
    def refused(self) -> Counter[tuple[str, str]]:
        """Return how many records sent so far the gate will refuse, by (input topic, code)."""
        for topic in self._waiting:
            self._judge(topic)
        return self._refused

    def send(self, topic: str, records: Sequence[Record]) -> None:
        """Note what is to be judged, then send; raises as `RecordProducer.send`."""
        now_ms, waiting = int(time.time() * 1000), self._waiting[topic]
        waiting += [(now_ms, key, value) for key, value in records]
        if len(waiting) >= JUDGED_TOGETHER:
            self._judge(topic)
        super().send(topic, records)

    def _judge(self, topic: str) -> None:
        waiting, source = self._waiting[topic], self._sources[topic]
        batch = RawBatch.of((0, row, *stamped, None) for row, stamped in enumerate(waiting))
        self._refused.update((source.topic, refused.code) for refused in refused_of(source, batch))
        waiting.clear()


@dataclass(slots=True)
class _News:
    """Passes on what there is to say, each kind at most every few seconds."""

    report: Callable[[str], None]
    _next_s: dict[str, float] = field(default_factory=dict)

    def progress(self, text: str) -> None:
        self._say("progress", text, first_s=NEWS_S)

    def trouble(self, text: str) -> None:
        self._say("trouble", text, first_s=0.0)

    def _say(self, kind: str, text: str, first_s: float) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s.setdefault(kind, now_s + first_s):
            self._next_s[kind] = now_s + NEWS_S
            self.report(text)


def refuse_unreachable(kafka: KafkaConnection, topic_prefix: str, pipeline: Pipeline) -> None:
    """Refuse to begin where Kafka does not answer or the sources' topics are not there.

    Raises:
        ClusterError: E_KAFKA_UNREACHABLE, E_TOPIC_MISSING.
    """
    admin = new_admin(kafka, "traffic")
    try:
        topics = admin.list_topics(timeout=ANSWER_S).topics
    except KafkaException as error:
        raise ClusterError(
            "E_KAFKA_UNREACHABLE", f"Kafka does not answer: {error.args[0].str()}", kafka.bootstrap_servers,
            "run `headrace up`, or check the address and the credentials",
        ) from error  # fmt: skip
    wanted = [source.records.full_name(topic_prefix) for source in pipeline.sources]
    missing = [name for name in wanted if name not in topics]
    if missing:
        raise ClusterError(
            "E_TOPIC_MISSING", f"topics {', '.join(missing)} are not there", kafka.bootstrap_servers,
            "run `headrace topics create`, or name the run with --run",
        )  # fmt: skip


def outgoing(form: Form, records: Records, topic_prefix: str) -> OutgoingRecords:
    """Return a source's records on their way to its topic."""
    return OutgoingRecords(
        name=form.name, topic=form.source.records.full_name(topic_prefix), records=records,
        is_labels=form.source.is_labels,
    )  # fmt: skip
