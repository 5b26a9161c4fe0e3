"""What people found of a case as a record of the project's labels, where such a record can be made of it.

A case has the event's id, its keys and its time. A label that needs more, or the text of a key that the gate
hashed, cannot be written here: whoever knows the event publishes it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from contracts.contract_version import ContractField, ContractVersion
from contracts.events import ReviewCase
from contracts.frame import strings
from contracts.pipeline import SourceStream
from features.project.compiled import POSITIVE
from features.project.running import RunningProject

BY_PEOPLE = "analyst"  # of a field that says who labels, where its list has this word
_UNITS_US = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}


class Written(NamedTuple):
    """A label as it is sent: the record's key and value."""

    key: bytes
    value: bytes


def label_of(project: RunningProject, case: ReviewCase, positive: bool, at_ms: int) -> Written | str:
    """Return the label that says whether a case's event is a positive, or why there is none.

    Args:
        at_ms: since when it is known, epoch ms.
    """
    if not project.pipeline.labels:
        return "the project has no labels"
    source = project.pipeline.labels[0]
    version = source.versions[-1]
    known = _known(project, source, case, positive, at_ms)
    document: dict[str, Any] = {}
    for field in version.fields:
        value = known.get(field.name)
        if value is None and BY_PEOPLE in field.enum:
            value = BY_PEOPLE
        if value is None and field.required:
            return f"a case does not say {field.name} of {source.name}"
        if value is not None:
            _put(document, field, value)
    key = known.get(version.key_field) or case.event_id
    return Written(str(key).encode(), msgspec.json.encode(document))


def _known(
    project: RunningProject, source: SourceStream, case: ReviewCase, positive: bool, at_ms: int
) -> Mapping[str, Any]:
    """Return what a case says of a label's fields, by name."""
    said, version = msgspec.to_builtins(case), source.versions[-1]
    named = {name: text for name, text in project.event.fields_said(said).items() if text}
    if len(project.event.fields) == 1:
        named[project.event.fields[0]] = case.event_id
    found: dict[str, Any] = {name: text for name, text in named.items() if name not in source.hashed}
    times = {version.event_time: case.event_time, source.time: at_ms}
    return found | {name: time for name, time in times.items() if name} | _outcome(source, version, positive)


def _outcome(source: SourceStream, version: ContractVersion, positive: bool) -> dict[str, Any]:
    """Return the field that makes a label positive or not, where it is one of a few texts."""
    mark = source.marks[POSITIVE]
    for field in version.fields:
        for value in field.enum:
            try:
                is_positive = bool(mark({field.name: strings([value])})[0])
            except KeyError:  # the condition reads another field
                break
            if is_positive == positive:
                return {field.name: value}
    return {}


def _put(document: dict[str, Any], field: ContractField, value: Any) -> None:
    """Write a value where the contract has it."""
    *path, last = field.path
    for name in path:
        document = document.setdefault(name, {})
    document[last] = _written(field, value)


def _written(field: ContractField, value: Any) -> Any:
    if field.type == "time":
        if field.time_format == "iso8601":
            return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
        return value * 1000 // _UNITS_US[field.time_format]
    return int(value) if field.column == "int64" else value
