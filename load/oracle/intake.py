"""From the raw topics alone: which records are good, what they say, and which letter a bad one gets."""

from typing import Any, NamedTuple

from load.oracle.dump import Dump, Record
from load.oracle.sources import ProjectOracle

UNREADABLE = "E_UNREADABLE"  # of a record that unpacks to more than a reader takes in
READABLE_BYTES_MAX = 20_000_000


class Origin(NamedTuple):
    """Where a raw record stands."""

    topic: str
    partition: int
    offset: int


class Intake(NamedTuple):
    """The row of each good record as the first stage reads it, and the code of each bad one."""

    good: dict[Origin, dict[str, Any]]
    refused: dict[Origin, str]


def intake(dump: Dump, project: ProjectOracle) -> Intake:
    """Judge every raw record."""
    made = Intake({}, {})
    for source in project.sources:
        for record in dump.topics[source.topic]:
            origin = Origin(source.topic, record.partition, record.offset)
            code, row = UNREADABLE, dict[str, Any]()
            if is_readable(record):
                code, row = source.judged(record, project.secrets)
            if code:
                made.refused[origin] = code
            else:
                made.good[origin] = row
    return made


def is_readable(record: Record) -> bool:
    """Return whether a reader of the service takes a record in at all, alone in its batch as bombs come."""
    return len(record.value or b"") <= READABLE_BYTES_MAX
