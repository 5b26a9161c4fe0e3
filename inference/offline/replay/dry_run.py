"""What another policy would have decided on the events of the lake, and what that would have been worth.

Scores are those that were recorded; rules, gatekeeper, thresholds, overrides and snoozes are decided by the
engine that the scorer runs. Money is told of events whose label is known; the others are counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from features.definition import DAY_MS
from inference.models.model import LightGbmModel
from inference.offline.lake.event_fields import EventFields
from inference.offline.lake.lake import Lake
from inference.offline.lake.predictions import KnownLabels, parts
from inference.offline.replay.recorded import is_available, recorded_fields, rows_of, served_of, values_of
from inference.offline.replay.used_model import UsedModels
from inference.policy.decision import DECIDED_BY, RULE
from inference.policy.engine import PolicyEngine
from inference.policy.ladder import RUNG_NAMES, Rung
from inference.policy.policy import DeclaredPolicy, ReviewTerms
from inference.policy.prediction import Judged
from inference.policy.rules import Outcome
from inference.policy.threshold_choice import money_at
from inference.release.arms import usable_scores
from inference.release.registry import Registry
from runtime.clock import Clock

Floats = NDArray[np.float64]
SAMPLE_IDS = 5
TIMED_ROWS, TIMED_ROWS_MIN = 4096, 256
_GATEKEEPER = RUNG_NAMES[Rung.GATEKEEPER]


class Move(msgspec.Struct, kw_only=True):
    """Events that would be decided otherwise, for one reason; amounts in minor units."""

    before: str
    after: str
    cause: str
    events: int = 0
    amount_minor: int = 0
    positives: int = 0
    positive_amount_minor: int = 0
    legitimate: int = 0
    unknown: int = 0
    sample: list[str] = msgspec.field(default_factory=list)


class Side(msgspec.Struct, kw_only=True):
    """The decisions under one policy; `cost_minor` is of known labels, by the new policy's costs."""

    decisions: dict[str, int]
    reviews_a_day: float = 0.0
    reviews_busiest_day: int = 0
    days_over_capacity: int = 0
    positive_approved_minor: int = 0
    legitimate_declined: int = 0
    cost_minor: float = 0.0


class Cleared(msgspec.Struct, kw_only=True):
    """The gatekeeper: how many it clears, how often the decision was another, and its cost.

    Times are of this machine, a row, in batches; `saved_ratio` is the share of scoring time that is spared.
    """

    mode: str
    events: int = 0
    share: float = 0.0
    otherwise: int = 0
    gate_us: float | None = None
    model_us: float | None = None
    saved_ratio: float | None = None


class DryRun(msgspec.Struct, kw_only=True):
    """What would change; `not_comparable` counts events whose model or definitions are not here, by why."""

    policy: dict[str, str]
    events: int
    moved: int
    days: int
    before: Side
    after: Side
    moves: list[Move]
    gatekeeper: Cleared
    not_comparable: dict[str, int]


class _Group(NamedTuple):
    """Predictions of one model and one state of the store."""

    said: list[dict[str, Any]]
    model: LightGbmModel | None


class DryRunner:
    """Runs one policy over a lake.

    Args:
        clock: times the gatekeeper and the model; None leaves that out.
    """

    def __init__(
        self, lake: Lake, registry: Registry, declared: DeclaredPolicy, clock: Clock | None = None
    ) -> None:
        self._lake, self._clock = lake, clock
        self._project = project = lake.project
        self._decisions, self._amount_at = project.decisions, money_at(project)
        self._engine = PolicyEngine(declared, project)
        self._fields = EventFields(lake, set(self._engine.book.fields) - recorded_fields(project))
        self._models = UsedModels(lake, registry)
        self._labels = KnownLabels(lake)
        self._moves: dict[tuple[str, str, str], Move] = {}
        names = project.decisions.names
        self._sides = (Side(decisions=dict.fromkeys(names, 0)), Side(decisions=dict.fromkeys(names, 0)))
        self._reviews: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
        self._days: set[int] = set()
        self._strange: Counter[str] = Counter()
        self._cleared = Cleared(mode=declared.policy.gatekeeper.mode)
        self._scored, self._events = 0, 0

    def run(self, from_ms: int | None = None, to_ms: int | None = None) -> DryRun:
        """Return what would change for events with an event time in [from_ms, to_ms).

        Raises:
            StateError: E_LAKE_EMPTY.
        """
        for rows in parts(self._lake, from_ms, to_ms):
            for group in self._groups(rows):
                self._judge(group)
        terms = self._engine.policy.review
        for side, reviews in zip(self._sides, self._reviews, strict=True):
            _close(side, reviews, len(self._days), terms)
        if self._events:
            self._cleared.share = round(self._cleared.events / self._events, 6)
        moves = sorted(self._moves.values(), key=lambda move: (-move.events, move.cause, move.before))
        return DryRun(
            policy=msgspec.to_builtins(self._engine.used), events=self._events,
            moved=sum(move.events for move in moves), days=len(self._days), before=self._sides[0],
            after=self._sides[1], moves=moves, gatekeeper=self._cleared, not_comparable=dict(self._strange),
        )  # fmt: skip

    def _groups(self, rows: Sequence[dict[str, Any]]) -> Iterator[_Group]:
        alike: dict[bytes, list[dict[str, Any]]] = {}
        for one in rows:
            if one["features"]["definitions_hash"] != self._project.definitions_hash:
                self._strange["other definitions"] += 1
                continue
            alike.setdefault(orjson.dumps([one.get("model"), is_available(one)]), []).append(one)
        for said in alike.values():
            used = self._models.of(said[0])
            if used.model is None and said[0].get("model") is not None:
                self._strange["model not in the registry"] += len(said)
            else:
                yield _Group(said, used.model)

    def _judge(self, group: _Group) -> None:
        said, model, engine = group.said, group.model, self._engine
        rows, vectors, served = rows_of(said, self._project), values_of(said), served_of(said, self._project)
        rows |= self._fields.of(said)
        outcomes = engine.book.judge(vectors, rows)
        cleared = engine.clears(vectors, outcomes, model)
        scores = None if model is None else _scores(said, vectors, model)
        if scores is not None and cleared is not None:
            scores = np.where(cleared, np.nan, scores)
        judged = engine.judge(rows, vectors, served, outcomes, scores, cleared, engine.thresholds_of(model))
        if cleared is not None and model is not None:
            self._note_cleared(cleared, said, vectors, model)
        self._count(said, judged)

    def _note_cleared(
        self,
        cleared: NDArray[np.bool_],
        said: Sequence[dict[str, Any]],
        vectors: Floats,
        model: LightGbmModel,
    ) -> None:
        self._cleared.events += int(cleared.sum())
        self._cleared.otherwise += sum(
            said[at]["decision"] != self._decisions.names[0] for at in np.flatnonzero(cleared).tolist()
        )
        if self._clock is None or self._cleared.gate_us is not None or len(vectors) < TIMED_ROWS_MIN:
            return
        some = vectors[:TIMED_ROWS]
        model.predict(some)  # the first call of a model makes its buffers
        times = [self._clock.elapsed_ms()]
        self._engine.gatekeeper.inside(some)
        times.append(self._clock.elapsed_ms())
        model.predict(some)
        times.append(self._clock.elapsed_ms())
        gate_us, model_us = ((b - a) * 1000 / len(some) for a, b in pairwise(times))
        self._cleared.gate_us, self._cleared.model_us = round(gate_us, 4), round(model_us, 3)
        self._cleared.saved_ratio = round(float(cleared.mean()) - gate_us / max(model_us, 1e-9), 4)

    def _count(self, said: Sequence[dict[str, Any]], judged: Judged) -> None:
        at, mildest = self._amount_at, self._decisions.names[0]
        amounts = np.full(len(said), np.nan) if at is None else judged.vectors[:, at]
        after, by = judged.decided.decision.tolist(), judged.decided.decided_by.tolist()
        self._events += len(said)
        for row, one in enumerate(said):
            day, label = one["event_time"] // DAY_MS, self._labels.of(one)
            amount = int(amounts[row]) if np.isfinite(amounts[row]) else 0
            self._days.add(day)
            decisions = one["decision"], self._decisions.names[after[row]]
            for side, reviews, decision in zip(self._sides, self._reviews, decisions, strict=True):
                side.decisions[decision] += 1
                reviews[day] += decision in self._decisions.queue
                side.positive_approved_minor += amount if label == 1 and decision == mildest else 0
                side.legitimate_declined += label == 0 and decision in self._decisions.stops
            if decisions[0] != decisions[1]:
                cause = self._cause(one, judged, row, by[row])
                self._move(decisions, cause, one, (amount, label))

    def _cause(self, one: dict[str, Any], judged: Judged, row: int, by: int) -> str:
        """Return what moved a decision: a rule by name, or the part of the policy that settled it."""
        if judged.cleared is not None and judged.cleared[row]:
            return "gatekeeper"
        if "override" in (DECIDED_BY[by], one["decided_by"]):
            return "override or snooze"
        if by == RULE:
            hits = np.flatnonzero(judged.outcomes[row] == Outcome.HIT).tolist()
            if hits:
                rules = [self._engine.rules[hit] for hit in hits]
                return f"rule {max(rules, key=lambda rule: rule.severity).id}"
        if one["decided_by"] == "gatekeeper":
            return "gatekeeper"
        if one["decided_by"] == "rule":
            past = [rule["id"] for rule in one["rules"] if rule["outcome"] == "hit"]
            return f"rule {past[0]}" if past else "fallback"
        return "fallback" if "fallback" in (DECIDED_BY[by], one["decided_by"]) else "threshold"

    def _move(
        self, decisions: tuple[str, str], cause: str, one: dict[str, Any], worth: tuple[int, int | None]
    ) -> None:
        amount, label = worth
        before, after = decisions
        move = self._moves.setdefault((before, after, cause), Move(before=before, after=after, cause=cause))
        move.events += 1
        move.amount_minor += amount
        move.positives += label == 1
        move.positive_amount_minor += amount if label == 1 else 0
        move.legitimate += label == 0
        move.unknown += label is None
        if len(move.sample) < SAMPLE_IDS:
            move.sample.append(one["prediction_id"])


def _scores(said: Sequence[dict[str, Any]], vectors: Floats, model: LightGbmModel) -> Floats:
    """Return recorded scores; what a gatekeeper had cleared is scored now."""
    scores = np.array([one.get("score", np.nan) for one in said], np.float64)
    unasked = np.array([one.get("rung") == _GATEKEEPER for one in said])
    if unasked.any():
        scores[unasked] = usable_scores(model, vectors[unasked])
    return scores


def _close(side: Side, reviews: Counter[int], days: int, terms: ReviewTerms) -> None:
    side.reviews_a_day = round(sum(reviews.values()) / max(1, days), 3)
    side.reviews_busiest_day = max(reviews.values(), default=0)
    side.days_over_capacity = sum(number > terms.cases_a_day for number in reviews.values())
    side.cost_minor = round(
        terms.loss_share * side.positive_approved_minor
        + terms.review_cost_minor * sum(reviews.values())
        + terms.decline_cost_minor * side.legitimate_declined, 2,
    )  # fmt: skip
