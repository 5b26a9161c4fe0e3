"""Dead letters: every refused record has one, with its code and its bytes; copies of a letter count once."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.intake import CONTENT, LABELS, PAYMENTS, Intake, Origin, is_readable
from load.oracle.stages import Customers, ends_of
from load.oracle.strangers import LANES, code_due
from load.oracle.verdict import OPTIONAL

PREFIX = "headrace.dlq."
COPIED_BYTES_MAX = 1_046_000  # a letter of a longer frame names its place and does not hold it


class Due(NamedTuple):
    """What the letter of one refused record must say: its code, key and value."""

    code: str
    key: bytes | None
    value: bytes | None


def check_letters(dump: Dump, taken: Intake, known: Customers, found: Findings) -> None:
    """Compare the letters with what was refused: by the gate, for its id, or as a stranger's record."""
    wanted = {**_of_gate(dump, taken), **_of_ids(taken, known), **_of_strangers(dump)}
    lettered: set[Origin] = set()
    for topic in (PAYMENTS, LABELS):
        for record in dump.topics[f"{topic}.dlq"]:
            origin, code = origin_of(record), header(record, "code")
            due = wanted.get(origin)
            lettered.add(origin)
            if due is None or due.code != code:
                found.add("dlq_extra", f"{origin} has a letter {code}, due is {due and due.code}")
            elif (record.key, record.value) != (due.key, due.value):
                found.add("dlq_extra", f"{origin}: the letter's bytes are not the record's")
    for origin in wanted.keys() - lettered:
        found.add("dlq_missing", f"{origin} has no letter {wanted[origin].code}")


def _of_gate(dump: Dump, taken: Intake) -> dict[Origin, Due]:
    """Return the letters of the gate: the record itself; of one that cannot be read only where it is."""
    wanted = {}
    for topic in (PAYMENTS, LABELS):
        for record in dump.topics[topic]:
            origin = Origin(topic, record.partition, record.offset)
            if origin in taken.refused:
                held = (record.key, record.value) if is_readable(record) else (None, None)
                wanted[origin] = Due(taken.refused[origin], *held)
    return wanted


def _of_ids(taken: Intake, known: Customers) -> dict[Origin, Due]:
    """Return the letters of ids used again: the payment as canonical JSON, without what is personal."""
    wanted = {}
    for origin, code in known.conflicts.items():
        payment = taken.good[origin]
        wanted[origin] = Due(code, payment["customer_id"].encode(), canonical(payment))
    return wanted


def _of_strangers(dump: Dump) -> dict[Origin, Due]:
    """Return the letters of records between the stages that no stage wrote: key is where, value the bytes."""
    wanted = {}
    for origin, record, code in strangers(dump):
        value = record.value or b""
        key = f"{origin.topic}/{origin.partition}/{origin.offset}".encode()
        wanted[origin] = Due(code, key, value if len(value) <= COPIED_BYTES_MAX else None)
    return wanted


def strangers(dump: Dump) -> list[tuple[Origin, Record, str]]:
    """Return the records between the stages that no stage wrote, and the code that each is refused with."""
    ends = ends_of(dump)
    return [
        (Origin(topic, record.partition, record.offset), record, code)
        for topic in LANES
        for record in dump.topics[topic]
        if (code := code_due(record.value or b"", topic, ends))
    ]


def canonical(payment: Mapping[str, Any]) -> bytes:
    """Return a payment as a stage's letter holds it.

    >>> canonical({"transaction_id": "t1", "amount_minor": 0, "email": "a@b", "channel": ""})
    b'{"amount_minor":0,"transaction_id":"t1"}'
    """
    kept = {
        name: payment[name] for name in CONTENT if name in payment and (name not in OPTIONAL or payment[name])
    }
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def origin_of(record: Record) -> Origin:
    """Return the raw record that a letter is about."""
    return Origin(header(record, "topic"), int(header(record, "partition")), int(header(record, "offset")))


def header(record: Record, name: str) -> str:
    """Return a header of ours, empty when it is not there."""
    return next(((value or b"").decode() for key, value in record.headers if key == PREFIX + name), "")
