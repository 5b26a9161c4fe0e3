"""What became of records that were delivered one after the other: values, rules, the decision, or a code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.frame import Columns, length, take
from contracts.keys import key_of
from contracts.pipeline import SourceStream
from contracts.problem import nearest_name
from features.project.running import RunningProject, project_at
from features.vector import vectors_of
from headrace.testing.passage import CameThrough, passed
from headrace.testing.written import WrittenRecord, written_record
from headrace.traffic.form import form_of, forms_of
from inference.models.manifest import Limits, Thresholds
from inference.policy.decision import DECIDED_BY
from inference.policy.engine import PolicyEngine
from inference.policy.policy import read_policy
from inference.policy.rules import Outcome
from inference.reading.served import NO_AGE, Served, Status
from runtime.project_folder import project_folder

Floats = NDArray[np.float64]
Value = float | str | None


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What became of one record; `delivered["account_logins_count_1h"]` is a feature's value as of it.

    Args:
        source: its source's name.
        values: by feature, a number, a category's text, None for null; none where it did not come through.
        refused, reason: the code and the reason of a record that was refused.
        repeated: it came again and counts nowhere.
        rules: of a scored record, the rules that hit; decision, decided_by: what was decided, and by what.
    """

    source: str
    values: Mapping[str, Value] = field(default_factory=dict)
    refused: str = ""
    reason: str = ""
    repeated: bool = False
    rules: tuple[str, ...] = ()
    decision: str = ""
    decided_by: str = ""

    def __getitem__(self, name: str) -> Value:
        """Return a feature's value as of the record.

        Raises:
            ConfigError: E_TEST_FEATURE, it has no such value; the nearest name is told.
        """
        if name in self.values:
            return self.values[name]
        near = nearest_name(name, self.values)
        what = (
            f"it was refused: {self.refused}"
            if self.refused
            else f"a record of {self.source} has no {name!r}"
        )
        raise ConfigError(
            "E_TEST_FEATURE", what, self.source,
            f"did you mean {near!r}?" if near else "ask for what it has: `.values` lists it",
        )  # fmt: skip


def deliver(
    *records: tuple[str, Mapping[str, Any] | str], project: str | Path | None = None
) -> list[Delivered]:
    """Deliver records one after the other to a project that has seen none, and return what became of each.

    Args:
        records: (source, fields by their names in the contract), or (source, the text that is sent).
        project: the project's folder; None for the one of `HEADRACE_PROJECT`, else of the current folder.

    Raises:
        ConfigError: E_INPUT_SOURCE, E_TEST_FIELD; or what is wrong with the project.

    >>> login = {"account_id": "a1", "ip": "203.0.113.7", "channel": "web", "result": "failed"}
    >>> first, second = deliver(
    ...     ("logins", {"login_id": "l1", "at": "2025-03-01T10:00:00Z", **login}),
    ...     ("logins", {"login_id": "l2", "at": "2025-03-01T10:01:00Z", **login}), project="examples/logins")
    >>> second["failed_count_10m"], second["channel"], second.decision
    (2.0, 'web', 'allow')
    """
    of = project_at(str(project_folder(None if project is None else str(project))))
    forms = forms_of(of.pipeline)
    return delivered(of, [written_record(form_of(forms, source), given) for source, given in records])


def delivered(
    project: RunningProject, records: list[WrittenRecord], thresholds: Mapping[str, float] | None = None
) -> list[Delivered]:
    """Return what became of each record.

    Args:
        thresholds: from which scores each decision above the mildest holds; None: the policy's own.
    """
    through = passed(project, records)
    found: dict[int, Delivered] = {}
    for kind, rows in through.rows.items():
        source = project.pipeline.by_number[kind]
        at = through.places[kind].tolist()
        made = _scored(project, rows, [records[place] for place in at], thresholds) if source.is_scored else [
            Delivered(source=source.name, values=values) for values in _others(project, source, rows)
        ]  # fmt: skip
        found |= zip(at, made, strict=True)
    return [found.get(at) or _turned_away(record, at, through) for at, record in enumerate(records)]


def values_of_source(project: RunningProject, source: SourceStream) -> tuple[str, ...]:
    """Return the names of the values that records of a source have.

    >>> project = project_at("examples/logins")
    >>> values_of_source(project, project.pipeline.by_topic["resets"])[:2]
    ('account_logins_count_1h', 'account_logins_count_24h')
    """
    if not source.is_scored:
        mine = (entity for entity in project.entities if source.number in entity.times)
        return tuple(name for entity in mine for name in entity.columns)
    kept = [name for entity in project.entities for name in entity.columns]
    return tuple(dict.fromkeys([*kept, *project.profile.columns, *project.service.columns]))


def _turned_away(record: WrittenRecord, at: int, through: CameThrough) -> Delivered:
    why, name = through.refused.get(at), record.form.name
    if why is None:
        return Delivered(source=name, repeated=True)
    return Delivered(source=name, refused=why.code, reason=why.reason)


def _others(project: RunningProject, source: SourceStream, rows: Columns) -> list[dict[str, Value]]:
    entities = [entity for entity in project.entities if source.number in entity.times]
    named = {
        name: rows[f"{entity.name}_values"][:, i]
        for entity in entities
        for i, name in enumerate(entity.columns)
    }  # fmt: skip
    return _by_row(named, length(rows))


def _scored(
    project: RunningProject, rows: Columns, records: list[WrittenRecord],
    thresholds: Mapping[str, float] | None,
) -> list[Delivered]:  # fmt: skip
    """Return scored records: with a score a model has its say, without one the rules alone."""
    batch, score = _batch_values(project, records), _scores(records)
    values = _by_row(_named(project, rows, batch), length(rows))
    policy = read_policy(project.policy_path, project)
    engine = PolicyEngine(policy, project)
    found: list[Delivered] = [Delivered(source=project.pipeline.scored.name)] * len(records)
    for which in (np.flatnonzero(np.isnan(score)), np.flatnonzero(~np.isnan(score))):
        if len(which):
            limits = engine.thresholds_of(None) if thresholds is None else _limits(project, thresholds)
            said = _decided(engine, take(rows, which), batch[which], score[which], limits)
            for at, (rules, decision, by) in zip(which.tolist(), said, strict=True):
                found[at] = Delivered(
                    source=project.pipeline.scored.name, values=values[at], rules=rules, decision=decision,
                    decided_by=by,
                )  # fmt: skip
    return found


def _decided(
    engine: PolicyEngine, rows: Columns, batch: Floats, score: Floats, limits: Limits
) -> list[tuple[tuple[str, ...], str, str]]:
    """Return the rules that hit, the decision and who settled it, of rows that all have a score or none."""
    served = _served(engine.project, rows, batch)
    vectors = vectors_of(engine.project).assemble(rows, served.groups, batch)
    outcomes = engine.book.judge(vectors, rows)
    judged = engine.judge(
        rows, vectors, served, outcomes, None if np.isnan(score).all() else score, None, limits
    )
    hits = [
        tuple(rule.id for rule, hit in zip(engine.rules, row, strict=True) if hit)
        for row in (outcomes == Outcome.HIT).tolist()
    ]
    names, decided = engine.decisions.names, judged.decided
    said = zip(decided.decision.tolist(), decided.decided_by.tolist(), strict=True)
    return [(hit, names[code], DECIDED_BY[by]) for hit, (code, by) in zip(hits, said, strict=True)]


def _limits(project: RunningProject, thresholds: Mapping[str, float]) -> Limits:
    return Thresholds(dict(thresholds)).limits(project.decisions.names)


def _served(project: RunningProject, rows: Columns, batch: Floats) -> Served:
    """Return the groups as the stream gives them, with the batch features that the test says."""
    links, count = project.pipeline.chain.links, length(rows)
    statuses = (
        np.where(key_of(rows, link.fields) == b"", Status.NO_KEY, Status.EXACT).astype(np.uint8)
        for link in links
    )
    there = ~np.isnan(batch).all(axis=1) if batch.shape[1] else np.zeros(count, np.bool_)
    return Served(
        tuple(rows[link.values] for link in links), batch, tuple(statuses),
        np.where(there, Status.STORE, Status.DEFAULT).astype(np.uint8),
        np.where(there, 0, NO_AGE).astype(np.int64), np.zeros(count, np.bool_), True, {},
    )  # fmt: skip


def _named(project: RunningProject, rows: Columns, batch: Floats) -> dict[str, Floats]:
    """Return every value of scored rows by name: kept, of the batch view, of the event, derived."""
    maker = vectors_of(project)
    named = {name: batch[:, i] for i, name in enumerate(project.profile.columns)}
    for entity in project.entities:
        named |= {name: rows[f"{entity.name}_values"][:, i] for i, name in enumerate(entity.columns)}
    named |= maker.event_features(rows)
    named |= maker.derived_features(named)
    texts = {name: np.array([None, *values], object) for name, values in project.service.categories.items()}
    return named | {name: text[named[name].astype(np.int64)] for name, text in texts.items()}


def _by_row(named: Mapping[str, NDArray[Any]], count: int) -> list[dict[str, Value]]:
    columns = {name: [_plain(value) for value in column.tolist()] for name, column in named.items()}
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]


def _plain(value: Value) -> Value:
    return None if isinstance(value, float) and np.isnan(value) else value


def _batch_values(project: RunningProject, records: list[WrittenRecord]) -> Floats:
    columns = project.profile.columns
    rows = [[record.batch.get(name, np.nan) for name in columns] for record in records]
    return np.array(rows, np.float64).reshape(len(records), len(columns))


def _scores(records: list[WrittenRecord]) -> Floats:
    return np.array([np.nan if one.score is None else one.score for one in records], np.float64)
