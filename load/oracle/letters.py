"""Dead letters: every refused record has one, with its code and its bytes; copies of a letter count once."""

from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.intake import LABELS, PAYMENTS, Intake, Origin
from load.oracle.stages import Customers

PREFIX = "headrace.dlq."


def check_letters(dump: Dump, taken: Intake, known: Customers, found: Findings) -> None:
    """Compare the letters with what was refused, by the gate or for its id."""
    wanted: dict[Origin, str] = {**taken.refused, **known.conflicts}
    raw = {
        Origin(topic, record.partition, record.offset): record
        for topic in (PAYMENTS, LABELS)
        for record in dump.topics[topic]
    }
    letters: dict[Origin, str] = {}
    for topic in (PAYMENTS, LABELS):
        for record in dump.topics[f"{topic}.dlq"]:
            origin, code = origin_of(record), header(record, "code")
            if wanted.get(origin) != code or letters.get(origin, code) != code:
                found.add("dlq_extra", f"{origin} has a letter {code}, due is {wanted.get(origin)}")
            elif origin in taken.refused and not _same_bytes(record, raw[origin]):
                found.add("dlq_extra", f"{origin}: the letter's bytes are not the record's")
            letters[origin] = code
    for origin in wanted.keys() - letters.keys():
        found.add("dlq_missing", f"{origin} has no letter {wanted[origin]}")


def origin_of(record: Record) -> Origin:
    """Return the raw record that a letter is about."""
    return Origin(header(record, "topic"), int(header(record, "partition")), int(header(record, "offset")))


def header(record: Record, name: str) -> str:
    """Return a header of ours, empty when it is not there."""
    return next(((value or b"").decode() for key, value in record.headers if key == PREFIX + name), "")


def _same_bytes(left: Record, right: Record) -> bool:
    return (left.key, left.value) == (right.key, right.value)
