"""Dead letters: every refused record has one, with its code and its bytes; copies of a letter count once."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.intake import Intake, Origin, is_readable
from load.oracle.sources import ProjectOracle, SourceOracle
from load.oracle.stages import Stages, StageWork, ends_of
from load.oracle.strangers import FrameOracle
from load.oracle.terms import NULL, Field

PREFIX = "headrace.dlq."
COPIED_BYTES_MAX = 1_046_000  # a letter of a longer frame names its place and does not hold it


class Due(NamedTuple):
    """What the letter of one refused record must say: its code, key and value."""

    code: str
    key: bytes | None
    value: bytes | None


def check_letters(run: StageWork, known: Stages, found: Findings) -> None:
    """Compare the letters with what was refused: by the gate, for its id, or as a stranger's record."""
    dump, project, taken = run.dump, run.project, run.taken
    wanted = {
        **_of_gate(dump, project, taken), **_of_ids(project, taken, known),
        **_of_strangers(dump, project, run.rules),
    }  # fmt: skip
    lettered: set[Origin] = set()
    for source in project.sources:
        for record in dump.topics[source.dead_letters]:
            origin, code = origin_of(record), header(record, "code")
            due = wanted.get(origin)
            lettered.add(origin)
            if due is None or due.code != code:
                found.add("dlq_extra", f"{origin} has a letter {code}, due is {due and due.code}")
            elif (record.key, record.value) != (due.key, due.value):
                found.add("dlq_extra", f"{origin}: the letter's bytes are not the record's")
    for origin in wanted.keys() - lettered:
        if dump.is_lost(*origin):
            continue
        found.add("dlq_missing", f"{origin} has no letter {wanted[origin].code}")


def _of_gate(dump: Dump, project: ProjectOracle, taken: Intake) -> dict[Origin, Due]:
    """Return the letters of the gate: the record itself; of one that cannot be read only where it is."""
    wanted = {}
    for topic in project.by_topic:
        for record in dump.topics[topic]:
            origin = Origin(topic, record.partition, record.offset)
            if origin in taken.refused:
                held = (record.key, record.value) if is_readable(record) else (None, None)
                wanted[origin] = Due(taken.refused[origin], *held)
    return wanted


def _of_ids(project: ProjectOracle, taken: Intake, known: Stages) -> dict[Origin, Due]:
    """Return the letters of ids used again: the row as canonical JSON, without what is personal."""
    wanted = {}
    for origin, code in known.conflicts.items():
        source, row = project.by_topic[origin.topic], taken.good[origin]
        key = row.get(source.key_field)
        wanted[origin] = Due(code, b"%d" % key if isinstance(key, int) else key, canonical(source, row))
    return wanted


def _of_strangers(dump: Dump, project: ProjectOracle, rules: FrameOracle) -> dict[Origin, Due]:
    """Return the letters of records between the stages that no stage wrote: key is where, value the bytes."""
    wanted = {}
    for origin, record, code in strangers(dump, project, rules):
        value = record.value or b""
        key = f"{origin.topic}/{origin.partition}/{origin.offset}".encode()
        wanted[origin] = Due(code, key, value if len(value) <= COPIED_BYTES_MAX else None)
    return wanted


def strangers(dump: Dump, project: ProjectOracle, rules: FrameOracle) -> list[tuple[Origin, Record, str]]:
    """Return the records between the stages that no stage wrote, and the code that each is refused with."""
    ends = ends_of(dump, project)
    return [
        (Origin(topic, record.partition, record.offset), record, code)
        for topic in rules.lanes
        for record in dump.topics[topic]
        if (code := rules.code_due(record.value or b"", topic, ends))
    ]


def canonical(source: SourceOracle, row: Mapping[str, Any]) -> bytes:
    """Return a row as a stage's letter holds it: what is null only where its contract asks for the field."""
    kept = {
        field.name: _written(field, row[field.name]) for field in source.fields
        if field.required or not _is_null(row[field.name])
    }  # fmt: skip
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _is_null(value: Any) -> bool:
    return value in (b"", NULL) or value != value


def _written(field: Field, value: Any) -> Any:
    """Return a cell as JSON has it: a time in epoch ms, a decimal as its text."""
    if field.kind == "bool":
        return bool(value)
    if field.kind == "decimal" and isinstance(value, int):
        return str(Decimal(value).scaleb(-field.scale))
    return value.decode() if isinstance(value, bytes) else value


def origin_of(record: Record) -> Origin:
    """Return the raw record that a letter is about."""
    return Origin(header(record, "topic"), int(header(record, "partition")), int(header(record, "offset")))


def header(record: Record, name: str) -> str:
    """Return a header of ours, empty when it is not there."""
    return next(((value or b"").decode() for key, value in record.headers if key == PREFIX + name), "")
