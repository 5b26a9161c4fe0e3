"""Seeded card payments and labels as tables in the contract's fields, in the order they are delivered.

Everything is drawn in whole columns: a million payments take a few seconds. Each part draws from a
generator of its own, seeded by the plan's seed and the part's number, so that changing one part leaves
the others' draws as they were.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from feature_repo.generator.frauds import (
    Pattern,
    Payments,
    card_testing,
    compromise_terminals,
    stolen_cards,
)
from feature_repo.generator.labelling import SOURCES, Labels, label
from feature_repo.generator.plan import PaymentPlan
from feature_repo.generator.population import (
    Population,
    choose_customers,
    choose_usual,
    populate,
    usual_amounts,
)
from feature_repo.generator.rhythm import moments

COUNTRIES = ("NL", "DE", "FR", "BE", "GB")
CHANNELS = ("pos", "contactless", "ecommerce")
DUPLICATE_DELAY_MS_MAX = 600_000
_PEOPLE, _HONEST, _STOLEN, _TESTING, _COMPROMISED, _DELIVERY, _LABELS, _PERSONAL = range(8)


@dataclass(frozen=True, slots=True)
class Generated:
    """A workload: `transactions` in delivery order, `labels` in order of label_time, and the truth.

    `deliver_ms` (deliveries,) never decreases; `pattern` (deliveries,) holds `Pattern` values;
    `repeat` (deliveries,) marks second deliveries.
    """

    transactions: pa.Table
    labels: pa.Table
    deliver_ms: NDArray[np.int64]
    pattern: NDArray[np.uint8]
    repeat: NDArray[np.bool_]


def generate(plan: PaymentPlan) -> Generated:
    """Return the plan's workload: same plan, same bytes.

    >>> made = generate(PaymentPlan(seed=7, events=1_000))
    >>> made.transactions.num_rows, made.labels.num_rows >= 1_000
    (1005, True)
    >>> made.transactions["transaction_id"][0].as_py()
    't000000000'
    """
    people = populate(plan, _rng(plan, _PEOPLE))
    paid = _in_event_order(_payments(plan, people))
    event_ms = plan.start_ms + paid.moment_ms
    fraud = paid.pattern != Pattern.HONEST
    known = label(event_ms, fraud, plan.labels, _rng(plan, _LABELS))
    order, deliver_ms, repeat = _delivery(plan, event_ms, _rng(plan, _DELIVERY))
    fields = _transaction_fields(plan, people, paid, event_ms)
    return Generated(
        transactions=pa.table(fields).take(pa.array(order)),
        labels=pa.table(_label_fields(fields, known)),
        deliver_ms=deliver_ms,
        pattern=paid.pattern[order],
        repeat=repeat,
    )


def _payments(plan: PaymentPlan, people: Population) -> Payments:
    stolen = stolen_cards(plan, people, _rng(plan, _STOLEN))
    tested = card_testing(plan, people, _rng(plan, _TESTING))
    honest = _honest(plan, people, plan.events - len(stolen.who) - len(tested.who))
    parts = [
        compromise_terminals(plan, honest, _rng(plan, _COMPROMISED)),
        stolen,
        tested,
    ]
    return Payments(
        who=np.concatenate([part.who for part in parts]),
        where=np.concatenate([part.where for part in parts]),
        moment_ms=np.concatenate([part.moment_ms for part in parts]),
        amount_minor=np.concatenate([part.amount_minor for part in parts]),
        pattern=np.concatenate([part.pattern for part in parts]),
    )


def _honest(plan: PaymentPlan, people: Population, count: int) -> Payments:
    rng = _rng(plan, _HONEST)
    who = choose_customers(people, count, rng)
    where, _ = choose_usual(people, who, rng)
    moment_ms = moments(count, plan.days, people.evening[who], rng)
    amounts = usual_amounts(people, who, rng)
    return Payments(who, where, moment_ms, amounts, np.full(count, Pattern.HONEST, np.uint8))


def _in_event_order(paid: Payments) -> Payments:
    order = np.argsort(paid.moment_ms, kind="stable")
    return Payments(
        paid.who[order], paid.where[order], paid.moment_ms[order], paid.amount_minor[order],
        paid.pattern[order],
    )  # fmt: skip


def _delivery(
    plan: PaymentPlan, event_ms: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return which payment each delivery carries, when, and whether it is a second delivery."""
    count = len(event_ms)
    late = rng.random(count) < plan.late_ratio
    delay_ms = np.minimum(rng.exponential(plan.late_ms_max / 5, count), plan.late_ms_max)
    first_ms = event_ms + np.where(late, delay_ms, 0.0).astype(np.int64)
    again = rng.choice(count, plan.duplicates, replace=False)
    again_ms = first_ms[again] + rng.integers(1, DUPLICATE_DELAY_MS_MAX, len(again))
    payment = np.concatenate((np.arange(count), again))
    deliver_ms = np.concatenate((first_ms, again_ms))
    repeat = np.concatenate((np.zeros(count, np.bool_), np.ones(len(again), np.bool_)))
    order = np.argsort(deliver_ms, kind="stable")
    return payment[order], deliver_ms[order], repeat[order]


def _transaction_fields(
    plan: PaymentPlan, people: Population, paid: Payments, event_ms: NDArray[np.int64]
) -> dict[str, pa.Array]:
    count = len(event_ms)
    fields = {
        "transaction_id": numbered("t", np.arange(count), 9),
        "event_time": pa.array(event_ms),
        "customer_id": numbered("c", paid.who, 6),
        "terminal_id": numbered("m", paid.where, 6),
        "amount_minor": pa.array(paid.amount_minor),
        "currency": _named((plan.currency,), np.zeros(count, np.int64)),
    }
    if plan.optional_fields:
        fields |= _optional_fields(people, paid, _rng(plan, _PERSONAL))
    return fields


def _optional_fields(people: Population, paid: Payments, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Channel and country, and personal fields that must end at the gate."""
    usual = rng.choice(len(CHANNELS), len(paid.who), p=(0.3, 0.5, 0.2))
    channel = np.where(paid.pattern == Pattern.CARD_TESTING, CHANNELS.index("ecommerce"), usual)
    host = rng.integers(1, 255, len(paid.who))
    return {
        "channel": _named(CHANNELS, channel),
        "country": _named(COUNTRIES, people.country[paid.who]),
        "device_id": numbered("d", paid.who * 3 + channel, 8),
        "email": _joined(numbered("p", paid.who, 6), "@mail.example"),
        "ip": _joined(pa.array(["203.0.113."] * len(host)), pa.array(host).cast(pa.string())),
    }


def _label_fields(fields: dict[str, pa.Array], known: Labels) -> dict[str, pa.Array]:
    which = pa.array(known.payment)
    return {
        "transaction_id": fields["transaction_id"].take(which),
        "customer_id": fields["customer_id"].take(which),
        "terminal_id": fields["terminal_id"].take(which),
        "label": _named(("legitimate", "fraud"), known.fraud.astype(np.int64)),
        "event_time": fields["event_time"].take(which),
        "label_time": pa.array(known.label_ms),
        "source": _named(SOURCES, known.source),
    }


def numbered(prefix: str, numbers: NDArray[np.int64], digits: int) -> pa.Array:
    """Return `prefix` and each number with leading zeros, as strings.

    >>> numbered("c", np.array([7, 42]), 3).to_pylist()
    ['c007', 'c042']
    """
    head = prefix.encode("ascii")
    text = np.empty((len(numbers), len(head) + digits), np.uint8)
    text[:, : len(head)] = np.frombuffer(head, np.uint8)
    rest = numbers.astype(np.int64)
    for place in range(len(head) + digits - 1, len(head) - 1, -1):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + ord("0")
    return pa.array(text.view(f"S{text.shape[1]}").ravel()).cast(pa.string())


def _named(names: tuple[str, ...], which: NDArray[np.int64]) -> pa.Array:
    return pa.array(names).take(pa.array(which))


def _joined(left: pa.Array, right: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(left, right, "")


def _rng(plan: PaymentPlan, part: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, part])
