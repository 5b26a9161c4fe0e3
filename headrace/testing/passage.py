"""Records through contract reading and every stage in the chain's order, in memory.

What runs is the service's own: the gate's verdict, the stages' rows with their deduplication and windows. One
partition takes the place of several; a key's values do not depend on how many there are.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import ROW_BITS, Columns, length
from contracts.hashed_fields import HashKey, HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.running import RunningProject
from headrace.testing.written import WrittenRecord
from streams.stage.entity_stage import EntityStage

KEYS = HashKeys((HashKey(version=1, from_ms=0, secret=b"a secret of tests"),))


class TurnedAway(NamedTuple):
    """Why a record did not come through: a code and, for people, a reason."""

    code: str
    reason: str


class CameThrough(NamedTuple):
    """What became of n records.

    `refused` and `repeated` are by place in the order of delivery; `rows` are, by the source's number, those
    that came through, as the log of features has them, with `places` beside.
    """

    refused: dict[int, TurnedAway]
    repeated: frozenset[int]
    rows: dict[int, Columns]
    places: dict[int, NDArray[np.int64]]


def passed(project: RunningProject, records: Sequence[WrittenRecord]) -> CameThrough:
    """Return what becomes of records, delivered one after the other to a project that has seen none.

    >>> from features.project.running import project_at
    >>> from headrace.testing.written import written_record
    >>> from headrace.traffic.form import forms_of
    >>> logins = project_at("examples/logins")
    >>> passed(logins, [written_record(forms_of(logins.pipeline)["resets"], "{")]).refused[0].code
    'E_DECODE_JSON'
    """
    refused: dict[int, TurnedAway] = {}
    parts = list(_accepted(project, records, refused))
    entered = {place for _, rows in parts for place in _places(rows).tolist()}
    for entity in project.entities:
        made = EntityStage(project.pipeline, entity, 0, 1).apply(parts).outcomes if parts else []
        for outcome in made:
            for code, reason, row in outcome.refused:
                refused[row["pos"] >> ROW_BITS] = TurnedAway(code, reason)
        parts = [(outcome.kind, outcome.rows) for outcome in made]
    rows = {kind: some for kind, some in parts if length(some)}
    places = {kind: _places(some) for kind, some in rows.items()}
    through = {place for some in places.values() for place in some.tolist()}
    return CameThrough(refused, frozenset(entered - through - refused.keys()), rows, places)


def _accepted(
    project: RunningProject, records: Sequence[WrittenRecord], refused: dict[int, TurnedAway]
) -> Iterator[tuple[int, Columns]]:
    """Yield, by the source's number, the rows that keep their contract; note the others."""
    log_ms = _log_times(records)
    for source in project.pipeline.sources:
        mine = [at for at, record in enumerate(records) if record.form.source is source]
        batch = RawBatch.of(
            (0, offset, log_ms[at], records[at].sent_key, records[at].value, None)
            for offset, at in enumerate(mine)
        )
        verdict = judge(source, batch, KEYS)
        for bad in verdict.bad:
            refused[mine[bad.row]] = TurnedAway(bad.code, bad.reason)
        if len(verdict.good_index):
            at = np.array(mine, np.int64)[verdict.good_index]
            yield source.number, {**verdict.good, "pos": at << ROW_BITS}


def _log_times(records: Sequence[WrittenRecord]) -> list[int]:
    """Return when the broker has each record: as it says, else at its time or that of one before it."""
    now_ms, found = 0, list[int]()
    for record in records:
        said = record.delivered_ms
        now_ms = max(now_ms, record.form.moment_of(record.document)) if said is None else said
        found.append(now_ms)
    return found


def _places(rows: Columns) -> NDArray[np.int64]:
    return np.asarray(rows["pos"] >> ROW_BITS) if "pos" in rows else np.empty(0, np.int64)
