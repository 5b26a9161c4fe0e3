"""The smallest change of features that would have changed a decision, found by trying.

Method: each feature that is kept or paid is moved, alone, to just below and just above every threshold at
which a tree of the model or a rule of the policy turns on it; derived features follow. Of the changes that
flip the decision the smallest is taken: the fewest thresholds of that feature are crossed, as a share of all
it has. Where no single change flips it, the one that goes furthest the right way is kept and the search goes
on from there, to at most `CHANGES_MAX` features; then each change is taken back, or shrunk, where the flip
survives. The result is decided once more by the same code that decides events.

Limits: it is the smallest among single changes, and only a small one among several. Features move one by
one, although a window that counts the event itself would move with its amount; time does not move. It says
what the decision hung on, and advises nobody.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns
from features.aggregations import Count, Distinct, Last, Max, Min, SinceLast, Sum
from features.project.running import RunningProject
from features.vector import vectors_of
from inference.models.model import LightGbmModel
from inference.offline.replay.recorded import repeated
from inference.policy.decision import OVERRIDE
from inference.policy.engine import PolicyEngine
from inference.reading.served import Served
from inference.release.arms import scores_but

Floats = NDArray[np.float64]
METHOD = "thresholds of trees and rules, one feature at a time, then greedily; decided again to be sure"
LIMITS = (
    "the smallest of single changes, a small one of several; features move one by one, derived ones follow,"
    " time stays; no advice to anybody"
)
CHANGES_MAX = 5


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One feature's change; `distance` is the share of its thresholds that are crossed."""

    feature: str
    value: float | None
    other: float
    distance: float


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """What would have decided otherwise: `decision` and `score` are those after the changes.

    `changes` is empty where none was found; `why` then says so.
    """

    changes: list[Change]
    decision: str | None
    score: float | None
    tried: int
    why: str
    method: str = METHOD
    limits: str = LIMITS


class _Decided(NamedTuple):
    decision: NDArray[np.uint8]
    decided_by: NDArray[np.uint8]
    scores: Floats | None
    hits: NDArray[np.int64]


class _Candidates(NamedTuple):
    """Changes of single features: which column, to what, how far; (m,) each."""

    column: NDArray[np.int64]
    value: Floats
    distance: Floats


def smallest_change(
    engine: PolicyEngine, row: Columns, vector: Floats, served: Served, model: LightGbmModel | None
) -> Counterfactual:
    """Return what would have changed the decision on one event.

    Args:
        engine: of the policy that decided.
        row: the fields of the event that rules and people look at, (1,) each.
        vector: (f,), the columns of the project's service.
        served: of the one row. model: the one that scored, None where rules alone decided.
    """
    return _Search(engine, row, served, model).run(vector)


class Moving(NamedTuple):
    """Which columns of a project's vectors may move, by name, and which of them are whole numbers."""

    columns: tuple[str, ...]
    whole: frozenset[str]


def moving_of(project: RunningProject) -> Moving:
    """Return what may move: fields of the event itself, not what its time says, and stored features."""
    service, declared = project.service, project.scored_contract.by_name
    own = [one.name for one in service.of_event if one.name in declared]
    own = [name for name in own if name not in service.categories]
    features = [f for entity in project.entities for view in entity.views for f in view.features]
    counts = Count | Distinct | Last | Max | Min | SinceLast | Sum
    whole = {name for name in own if declared[name].type == "integer"}
    whole |= {feature.columns[0] for feature in features if isinstance(feature.aggregation, counts)}
    return Moving((*own, *service.stored_columns), frozenset(whole))


class _Search:
    def __init__(
        self, engine: PolicyEngine, row: Columns, served: Served, model: LightGbmModel | None
    ) -> None:
        self._engine, self._row, self._served, self._model = engine, row, served, model
        self._marks = _marks(engine, model)
        self._tried = 0

    def run(self, vector: Floats) -> Counterfactual:
        """Return the outcome of the search from this vector."""
        now = self._decide(vector[None])
        if now.decided_by[0] == OVERRIDE:
            return self._none("a person's override or snooze decided, whatever the features")
        decision = int(now.decision[0])
        changed = vector
        for _ in range(CHANGES_MAX):
            candidates = self._candidates(vector, changed)
            if not len(candidates.value):
                break
            vectors = _moved(changed, candidates, self._engine.project)
            decided = self._decide(vectors)
            flips = np.flatnonzero(decided.decision != decision)
            if len(flips):
                best = flips[np.lexsort((flips, candidates.distance[flips]))[0]]
                return self._told(vector, self._small(vector, vectors[best], decision))
            best = _furthest(decided, upwards=decision == 0)
            if not _is_further(decided, best, self._decide(changed[None]), decision == 0):
                break
            changed = vectors[best]
        return self._none(f"nothing flips it within {CHANGES_MAX} features")

    def _decide(self, vectors: Floats) -> _Decided:
        """Decide by the engine, as the scorer does."""
        count, engine = len(vectors), self._engine
        self._tried += count
        rows = {name: np.repeat(column, count) for name, column in self._row.items()}
        outcomes = engine.book.judge(vectors, rows)
        cleared = engine.clears(vectors, outcomes, self._model)
        scores = None if self._model is None else scores_but(self._model, vectors, cleared)
        served = repeated(self._served, count)
        judged = engine.judge(
            rows,
            vectors,
            served,
            outcomes,
            scores,
            cleared,
            engine.thresholds_of(self._model),
        )
        hits = (outcomes == 1).sum(axis=1)
        return _Decided(judged.decided.decision, judged.decided.decided_by, scores, hits)

    def _candidates(self, vector: Floats, changed: Floats) -> _Candidates:
        """Return every move of a feature that was not moved yet."""
        parts = []
        for column, (marks, values) in self._marks.items():
            if changed[column] == vector[column] or (np.isnan(changed[column]) and np.isnan(vector[column])):
                other = values[values != vector[column]]
                far = _distances(vector[column], other, marks)
                parts.append(_Candidates(np.full(len(other), column), other, far))
        if not parts:
            return _Candidates(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        return _Candidates(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _small(self, vector: Floats, changed: Floats, decision: int) -> Floats:
        """Take back or shrink each change where the decision stays flipped."""
        project = self._engine.project
        for column in self._moved_columns(vector, changed):
            marks, values = self._marks[column]
            now = self._distance(vector, changed, column)
            far = _distances(vector[column], values, marks)
            nearer = np.flatnonzero(far < now)
            options = np.concatenate([vector[column : column + 1], values[nearer[np.argsort(far[nearer])]]])
            moved = _moved(changed, _Candidates(np.full(len(options), column), options, options), project)
            flipped = np.flatnonzero(self._decide(moved).decision != decision)
            if len(flipped):
                changed = moved[flipped[0]]
        return changed

    def _distance(self, vector: Floats, changed: Floats, column: int) -> float:
        marks, _ = self._marks[column]
        return float(_distances(vector[column], changed[column : column + 1], marks)[0])

    def _moved_columns(self, vector: Floats, changed: Floats) -> list[int]:
        same = (vector == changed) | (np.isnan(vector) & np.isnan(changed))
        return [column for column in self._marks if not same[column]]

    def _told(self, vector: Floats, changed: Floats) -> Counterfactual:
        after = self._decide(changed[None])
        score = None if after.scores is None or np.isnan(after.scores[0]) else float(after.scores[0])
        changes = [
            Change(
                feature=self._engine.project.service.columns[column], other=float(changed[column]),
                value=None if np.isnan(vector[column]) else float(vector[column]),
                distance=round(self._distance(vector, changed, column), 6),
            )
            for column in self._moved_columns(vector, changed)
        ]  # fmt: skip
        return Counterfactual(
            changes=changes,
            decision=self._engine.decisions.names[int(after.decision[0])],
            score=score,
            tried=self._tried,
            why="",
        )

    def _none(self, why: str) -> Counterfactual:
        return Counterfactual(changes=[], decision=None, score=None, tried=self._tried, why=why)


def _marks(engine: PolicyEngine, model: LightGbmModel | None) -> dict[int, tuple[Floats, Floats]]:
    """Return, by column that may move, where something turns, and the values just beside."""
    moving, columns = moving_of(engine.project), engine.project.service.columns
    found: dict[int, list[Floats]] = {columns.index(name): [] for name in moving.columns}
    if model is not None:
        for column, thresholds in zip(model.columns, model.trees.thresholds, strict=True):
            if column in found:
                found[column].append(thresholds)
    for rule in engine.rules:
        for name, figure in rule.figures:
            if name in moving.columns:
                found[columns.index(name)].append(np.array([figure]))
    for name, bound in engine.policy.gatekeeper.clear.items():
        ends = [float(end) for end in (bound.at_least, bound.at_most) if end is not None]
        if (column := columns.index(name)) in found:
            found[column].append(np.array(ends))
    marks = {column: np.unique(np.concatenate(parts)) for column, parts in found.items() if parts}
    return {
        column: (at, _beside(at, columns[column] in moving.whole)) for column, at in marks.items() if len(at)
    }


def _beside(marks: Floats, is_whole: bool) -> Floats:
    """Return the values just at or below, and just above, each mark; whole numbers where the feature is."""
    if is_whole:
        below = np.floor(marks)
        values = np.concatenate([below - 1, below, below + 1])
    else:
        values = np.concatenate([np.nextafter(marks, -np.inf), marks, np.nextafter(marks, np.inf)])
    return np.unique(values[values >= 0])


def _distances(value: float, others: Floats, marks: Floats) -> Floats:
    """Return what share of the marks lies between the value and each other; 1 from a null."""
    if np.isnan(value):
        return np.where(np.isnan(others), 0.0, 1.0)
    place, places = np.searchsorted(marks, value), np.searchsorted(marks, others)
    # a step within one gap counts for less than any mark crossed, but not for nothing
    inside = np.where(others == value, 0.0, 0.5)
    return np.asarray(np.maximum(np.abs(places - place), inside) / (len(marks) + 1))


def _moved(vector: Floats, candidates: _Candidates, project: RunningProject) -> Floats:
    """Return the vector once a candidate with that feature changed and the derived ones computed again."""
    vectors = np.repeat(vector[None], len(candidates.value), axis=0)
    vectors[np.arange(len(vectors)), candidates.column] = candidates.value
    service = project.service
    named = {name: vectors[:, at] for at, name in enumerate(service.columns)}
    derived = vectors_of(project).derived_features(named)
    for name in service.derived:
        vectors[:, service.columns.index(name)] = derived[name]
    return vectors


def _furthest(decided: _Decided, upwards: bool) -> int:
    scores = np.zeros(len(decided.hits)) if decided.scores is None else np.nan_to_num(decided.scores)
    keys: Sequence[NDArray[np.generic]] = (-scores, -decided.hits) if upwards else (scores, decided.hits)
    return int(np.lexsort((np.arange(len(scores)), *keys))[0])


def _is_further(decided: _Decided, at: int, now: _Decided, upwards: bool) -> bool:
    def place(of: _Decided, row: int) -> tuple[float, float]:
        score = 0.0 if of.scores is None or np.isnan(of.scores[row]) else float(of.scores[row])
        return (float(of.hits[row]), score) if not upwards else (-float(of.hits[row]), -score)

    return place(decided, at) < place(now, 0)
