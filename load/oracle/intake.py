"""From the raw topics alone: which records are good, what they say, and which letter a bad one gets."""

import json
from typing import Any, NamedTuple

from load.oracle.dump import Dump, Record
from load.oracle.verdict import code_of

CONTENT = (
    "transaction_id", "event_time", "customer_id", "terminal_id", "amount_minor", "currency", "channel",
    "country",
)  # fmt: skip
TEXTS = ("transaction_id", "customer_id", "terminal_id", "currency", "channel", "country", "source")
PAYMENTS, LABELS = "transactions", "labels"
UNREADABLE = "E_UNREADABLE"  # of a record that unpacks to more than a reader takes in
READABLE_BYTES_MAX = 20_000_000


class Origin(NamedTuple):
    """Where a raw record stands."""

    topic: str
    partition: int
    offset: int


class Intake(NamedTuple):
    """What good records say, and the code of each bad one."""

    good: dict[Origin, dict[str, Any]]
    refused: dict[Origin, str]


def intake(dump: Dump) -> Intake:
    """Judge every raw record."""
    made = Intake({}, {})
    declared = dump.declared
    currencies = {name: name in declared.accepted_currencies for name in declared.currencies}
    for topic in (PAYMENTS, LABELS):
        for record in dump.topics[topic]:
            origin = Origin(topic, record.partition, record.offset)
            code = UNREADABLE
            if is_readable(record):
                code = code_of(topic, record.timestamp_ms, record.key, record.value, currencies)
            if code:
                made.refused[origin] = code
            else:
                made.good[origin] = json.loads(record.value or b"")
    return made


def is_readable(record: Record) -> bool:
    """Return whether a reader of the service takes a record in at all, alone in its batch as bombs come."""
    return len(record.value or b"") <= READABLE_BYTES_MAX


def content(payment: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes two records of one id the same payment: every field that is not personal."""
    return tuple(payment.get(name) for name in CONTENT)


def as_row(source: dict[str, Any]) -> dict[str, Any]:
    """Return a raw record's fields as the windows take them: texts as bytes, fraud as 1.

    >>> as_row({"customer_id": "c1", "label": "fraud"})
    {'customer_id': b'c1', 'label': 'fraud', 'positive': 1}
    """
    row = {name: (value or "").encode() if name in TEXTS else value for name, value in source.items()}
    if "label" in row:
        row["positive"] = int(row["label"] == "fraud")
    return row
