"""A file of payments, and of labels, to the topics of a run: what `headrace produce` does."""

import time
from dataclasses import dataclass
from pathlib import Path

from contracts.connections import KafkaConnection
from contracts.topics import LABELS, TRANSACTIONS
from load.pacing import at_rate, at_speed
from load.producer import Outbox
from load.replay import Acknowledged, Replay, ReplayTopics
from load.source import open_labels, open_transactions

SLICE_EVENTS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast: `rate` events a second, event time `speed` times as fast, or neither: as fast as possible."""

    rate: float | None = None
    speed: float | None = None
    limit: int | None = None


def send_file(
    kafka: KafkaConnection, topic_prefix: str, payments_file: Path, labels_file: Path | None, pace: Pace
) -> dict[str, float]:
    """Send the files; return the counts `transactions`, `labels`, `seconds` and `events_per_second`.

    Labels that fall due after the last payment are not sent: nothing says yet that their time has come.
    """
    payments = open_transactions(payments_file, pace.limit)
    labels = open_labels(labels_file) if labels_file is not None else None
    outbox, topics = Outbox(kafka), replay_topics(topic_prefix)
    acknowledged = Acknowledged(outbox, topics.transactions, SLICE_EVENTS)
    replay = Replay(outbox, topics, payments, labels, acknowledged)
    count = len(payments.moment_ms)
    began_s = time.monotonic()
    if pace.rate is not None:
        replay.pace(0, count, at_rate(count, pace.rate))
    elif pace.speed is not None:
        replay.pace(0, count, at_speed(payments.moment_ms, pace.speed))
    else:
        replay.rush(0, count, SLICE_EVENTS, in_flight_max=None)
    outbox.flush()
    acknowledged.hold_back_events = 0
    replay.release_labels()
    outbox.flush()
    outbox.close()
    seconds = time.monotonic() - began_s
    return {
        "transactions": replay.payments_sent,
        "labels": replay.labels_sent,
        "seconds": round(seconds, 3),
        "events_per_second": round((replay.payments_sent + replay.labels_sent) / seconds, 1),
    }


def replay_topics(topic_prefix: str) -> ReplayTopics:
    """Return the full names of the producers' topics."""
    return ReplayTopics(
        transactions=TRANSACTIONS.full_name(topic_prefix), labels=LABELS.full_name(topic_prefix)
    )
