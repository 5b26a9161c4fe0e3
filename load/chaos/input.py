"""The records of a chaos run in the order they are sent: payments, labels, and all that a gate must expect.

Payments come late, out of order, twice, twice with other content, in other words, from long ago; broken
records stand between them; labels come when they fall due, before or after the payments beside them.
"""

import json
from typing import Any, NamedTuple

import numpy as np

from feature_repo.generator.payments import Generated, generate
from headrace.traffic.input_files import Record
from headrace.traffic.malformed import malformed_record
from load.chaos.plan import ChaosPlan
from load.payment_records import FORMS, labels_of, payments_of

ANCIENT_MS = 45 * 86_400_000
AGAIN_RECORDS_MAX = 2_000  # how far behind its first a second delivery may come
_MIX = 101  # the seed's branch of this file


class Sent(NamedTuple):
    """One record to send.

    `id` is the event it may be predicted as, "" for what never is; `at_ms` the time at which it counts, 0
    where it is broken.
    """

    topic: str
    record: Record
    id: str
    at_ms: int = 0


class Input(NamedTuple):
    """The records in the order of sending, and the workload of card payments that they were made from."""

    records: list[Sent]
    made: Generated | None

    def payment_ids(self) -> list[str]:
        """Return the ids of the scored events among the records, in order."""
        return [sent.id for sent in self.records if sent.id]

    def payments(self) -> list[dict[str, Any]]:
        """Return the scored events with an id as JSON objects, in order."""
        return [json.loads(sent.record[1] or b"") for sent in self.records if sent.id]

    def newest_event_ms(self) -> int:
        """Return the newest time of a scored event."""
        return max(sent.at_ms for sent in self.records if sent.id)

    def newest_ms(self, records: int) -> int:
        """Return the newest time among the first records: an event's, or a label's."""
        return max((sent.at_ms for sent in self.records[:records]), default=0)


def make_input(plan: ChaosPlan) -> Input:
    """Return the records of a plan."""
    made = generate(plan.payments())
    payments = payments_of(made)
    labels = labels_of(made)
    keyed = [(int(at), 0, i) for i, at in enumerate(payments.moment_ms)]
    keyed += [(int(at), 1, i) for i, at in enumerate(labels.moment_ms)]
    keyed.sort()
    keyed = keyed[: plan.records]
    good = payments.slice(0, sum(kind == 0 for _, kind, _ in keyed))
    truths = labels.slice(0, sum(kind == 1 for _, kind, _ in keyed))
    plain = [Sent("labels", truths[i], "", at_ms) if kind else _payment(good[i]) for at_ms, kind, i in keyed]
    return Input(_Mix(plan).mixed(plain)[: plan.records], made)


def _payment(record: Record) -> Sent:
    row = json.loads(record[1] or b"")
    return Sent("transactions", record, row["transaction_id"], row["event_time"])


class _Mix:
    """Puts in between what a gate and a customer stage must expect."""

    def __init__(self, plan: ChaosPlan) -> None:
        self._plan = plan
        self._rng = np.random.default_rng([plan.seed, _MIX])
        self._malformed = 0

    def mixed(self, plain: list[Sent]) -> list[Sent]:
        """Return the plain records with the others at their places."""
        placed: list[tuple[float, int, Sent]] = []
        draws = self._rng.random((len(plain), 5))
        again = self._rng.integers(1, AGAIN_RECORDS_MAX, len(plain))
        for at, sent in enumerate(plain):
            changed, extra = self._with_company(sent, draws[at].tolist())
            placed.append((at, 0, changed))
            placed += [(at + int(again[at]), 1 + n, one) for n, one in enumerate(extra)]
        placed.sort(key=lambda one: one[:2])
        return [sent for _, _, sent in placed]

    def _with_company(self, sent: Sent, draws: list[float]) -> tuple[Sent, list[Sent]]:
        """Return a record, perhaps changed, and those that follow because of it."""
        plan, extra = self._plan, list[Sent]()
        if sent.topic == "labels":
            if draws[0] < plan.malformed_ratio / 2:
                extra.append(Sent("labels", _cut(sent.record), ""))
            return sent, extra
        row = json.loads(sent.record[1] or b"")
        if draws[0] < plan.malformed_ratio:
            broken, _ = malformed_record(FORMS["transactions"], row, self._malformed)
            self._malformed += 1
            extra.append(Sent("transactions", broken, ""))
        if draws[1] < plan.conflict_ratio:
            extra.append(_worded(sent, {**row, "amount_minor": row["amount_minor"] + 1}))
        if draws[2] < plan.reworded_ratio:
            extra.append(_worded(sent, dict(reversed(row.items()))))
        if draws[3] < plan.ancient_ratio:
            sent = _worded(sent, {**row, "event_time": row["event_time"] - ANCIENT_MS})
        return sent, extra


def _worded(sent: Sent, row: dict[str, Any]) -> Sent:
    return Sent(sent.topic, (sent.record[0], json.dumps(row).encode()), sent.id, row["event_time"])


def _cut(record: Record) -> Record:
    return record[0], (record[1] or b"")[:-7]
