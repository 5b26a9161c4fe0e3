"""The records of a chaos run in any project: what its `generate.py` makes, and all that a gate must expect.

The workload is the one that a demo takes, with the run's seed in place of its own where it has one.

Records come late, out of order, twice, in other words, with other content under their id, from long ago; and
broken ones stand between them. What is broken is made from the contracts, and is for the oracle to judge.
"""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from contracts.contract_version import ContractField
from contracts.errors import ConfigError
from contracts.pipeline import SourceStream
from contracts.written_values import time_of
from features.project.running import RunningProject
from headrace.traffic.form import forms_of
from headrace.traffic.workloads import Generator
from load.chaos.input import ANCIENT_MS, Input, Sent
from load.chaos.plan import ChaosPlan

LATE_MS_MAX = 3 * 86_400_000
_MIX = 103  # the seed's branch of this file
Document = dict[str, Any]
Breaking = Callable[[Document, ContractField], bytes | None]


class Timed(NamedTuple):
    """A record and where it stands in the order of sending."""

    moment: float
    sent: Sent


def make_project_input(plan: ChaosPlan, project: RunningProject) -> Input:
    """Return the records of a plan.

    Raises:
        ConfigError: as `Generator`; E_CHAOS_INPUT, it makes fewer records than the plan sends.
    """
    made, mix = _generated(plan, project), _Mix(plan, project.event.fields)
    sources = project.pipeline.sources
    due = [one for source in sources for one in mix.records(source, made.get(source.topic, []))]
    due.sort(key=lambda one: one.moment)
    return Input([one.sent for one in due][: plan.records], None)


def _generated(plan: ChaosPlan, project: RunningProject) -> dict[str, list[Document]]:
    """Return the documents of each source, by its topic."""
    forms, generator = forms_of(project.pipeline), Generator.of(project.folder)
    made = {
        form.source.topic: [json.loads(value or b"") for _, value in records.slice(0, len(records.moment_ms))]
        for form, records in generator.records(None, plan.records, forms, plan.seed).items()
    }
    if (count := sum(map(len, made.values()))) < plan.records:
        raise ConfigError(
            "E_CHAOS_INPUT", f"the generator makes {count:,} records, the run sends {plan.records:,}",
            str(project.folder), "ask for fewer --minutes, or let records() make as many as it is asked for",
        )  # fmt: skip
    return made


class _Mix:
    """Puts in between what a gate and a first stage must expect; `named` are the fields of an event's id."""

    def __init__(self, plan: ChaosPlan, named: tuple[str, ...]) -> None:
        self._plan, self._named, self._broken = plan, named, 0
        self._rng = np.random.default_rng([plan.seed, _MIX])

    def records(self, source: SourceStream, rows: list[Document]) -> Iterator[Timed]:
        """Yield a source's records with their moments, and those that stand beside them."""
        draws, shift = self._rng.random((len(rows), 6)), self._rng.random((len(rows), 3))
        for row, draw, part in zip(rows, draws.tolist(), shift.tolist(), strict=True):
            at_ms = time_in(source, row)
            late_ms = part[0] * LATE_MS_MAX if draw[0] < self._plan.late_ratio else 0.0
            moment, after = at_ms + late_ms, at_ms + late_ms + part[1] * 3_600_000
            if draw[1] < self._plan.ancient_ratio and not source.is_labels:
                row = shifted(source, row, -ANCIENT_MS)
            yield Timed(moment, sent_of(source, row, self._named))
            if draw[2] < self._plan.repeat_ratio:
                yield Timed(after, sent_of(source, row, self._named))
            if draw[3] < self._plan.reworded_ratio:
                yield Timed(after, sent_of(source, dict(reversed(row.items())), self._named))
            if draw[4] < self._plan.conflict_ratio and (other := changed(source, row)) is not None:
                yield Timed(after, sent_of(source, other, self._named))
            if draw[5] < self._plan.malformed_ratio:
                self._broken += 1
                yield Timed(moment, self._malformed(source, row))

    def _malformed(self, source: SourceStream, row: Document) -> Sent:
        """Return a broken record; its id is nobody's, where it can be read at all."""
        own = copy.deepcopy(row)
        for name in source.ids:
            put(own, field_of(source, name), f"broken-{self._broken}")
        fields = [
            field for field in source.versions[-1].fields if field.shape == "one" and field.type != "other"
        ]
        field = fields[self._broken % len(fields)]
        value = BROKEN[self._broken % len(BROKEN)](own, field)
        return Sent(source.topic, (_key(source, row), value), "")


def sent_of(source: SourceStream, row: Document, named: tuple[str, ...]) -> Sent:
    """Return a record as its producer writes it; only those of the scored source have an id to wait for."""
    name = "/".join(str(get(row, field_of(source, each))) for each in named) if source.is_scored else ""
    value = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()
    return Sent(source.topic, (_key(source, row), value), name, time_in(source, row))


def _key(source: SourceStream, row: Document) -> bytes | None:
    name = source.versions[-1].key_field or next(iter(source.ids), "")
    return str(get(row, field_of(source, name))).encode() if name else None


def field_of(source: SourceStream, name: str) -> ContractField:
    """Return a field of a source's newest contract."""
    return source.versions[-1].by_name[name]


def get(row: Document, field: ContractField) -> Any:
    """Return a field's value in a document, None where it is not there."""
    found: Any = row
    for key in field.path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def put(row: Document, field: ContractField, value: object) -> None:
    """Set a field in a document."""
    for key in field.path[:-1]:
        row = row.setdefault(key, {})
    row[field.path[-1]] = value


def time_in(source: SourceStream, row: Document) -> int:
    """Return the time at which a record counts, epoch ms."""
    field = field_of(source, source.time)
    value = get(row, field)
    if field.time_format == "iso8601":
        return time_of(value, field.zone)
    return int(value) * 1000 if field.time_format == "epoch_s" else int(value)


def shifted(source: SourceStream, row: Document, by_ms: int) -> Document:
    """Return a record whose time is another by so much."""
    own, field = copy.deepcopy(row), field_of(source, source.time)
    at_ms = time_in(source, row) + by_ms
    if field.time_format == "iso8601":
        text = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        put(own, field, text.replace("+00:00", "Z"))
    else:
        put(own, field, at_ms // 1000 if field.time_format == "epoch_s" else at_ms)
    return own


def changed(source: SourceStream, row: Document) -> Document | None:
    """Return a record that says something else under the same id; None where it has nothing to change."""
    keys = {*source.ids, source.time}
    for field in source.versions[-1].fields:
        others = [value for value in field.enum if value != get(row, field)]
        if field.name not in keys and others and not field.accepted:
            own = copy.deepcopy(row)
            put(own, field, others[0])
            return own
    return None


def _with(value: object) -> Breaking:
    def change(row: Document, field: ContractField) -> bytes:
        put(row, field, value)
        return json.dumps(row).encode()

    return change


def _without(row: Document, field: ContractField) -> bytes:
    below = row
    for key in field.path[:-1]:
        below = below.get(key, {})
    below.pop(field.path[-1], None)
    return json.dumps(row).encode()


def _holder(row: Document, field: ContractField) -> bytes:
    """Put a text where the object is that holds the field, or where the field is."""
    row[field.path[0]] = "text"
    return json.dumps(row).encode()


def _doubled(row: Document, _field: ContractField) -> bytes:
    text = json.dumps(row)
    name = next(iter(row))
    return f"{text[:-1]},{json.dumps(name)}:{json.dumps(row[name])}}}".encode()


BROKEN: tuple[Breaking, ...] = (
    _without, _with(None), _with({}), _with(""), _with("x" * 400), _with(-1), _with(True), _with([1]),
    _with("2098-01-01T00:00:00Z"), _with("2025-02-30T00:00:00Z"), _with("2025-01-01"), _with(4e18),
    _with("a\0b"), _with("\ud800"), _holder, _doubled,
    lambda row, _field: json.dumps(row).encode()[:-7],
    lambda _row, _field: None,
    lambda _row, _field: b"  ",
    lambda row, _field: json.dumps([row]).encode(),
    lambda row, _field: json.dumps(row).encode()[:-1] + b',"more":NaN}',
    lambda row, _field: json.dumps(row).encode()[:-1] + b',"more":"\xff"}',
    lambda row, _field: json.dumps(row).encode("utf-16-le"),
    lambda row, _field: json.dumps({**row, "more": "y" * 5_000}).encode(),
    lambda row, _field: json.dumps(row).encode()[:-1] + b',"deep":' + b"[" * 70 + b"]" * 70 + b"}",
)  # fmt: skip
