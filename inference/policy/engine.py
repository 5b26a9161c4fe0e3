"""One policy at work over batches of vectors: rules, gatekeeper, thresholds, people, reasons, rung.

Pure of servers and clocks. The scorer, a replay, a dry run and a counterfactual all decide by this.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.events import Reason
from contracts.frame import Columns
from features.project.running import RunningProject
from inference.models.manifest import Limits, RowLimits, Thresholds
from inference.models.model import Model
from inference.policy.decision import FALLBACK, GATEKEEPER, NOT_ASSESSED, Decided, decide
from inference.policy.gatekeeper import Gatekeeper
from inference.policy.ladder import Rung, rungs
from inference.policy.people import People, reason_of
from inference.policy.policy import DeclaredPolicy
from inference.policy.prediction import Judged
from inference.policy.reasons import SCORE_MISSING, Reasoner
from inference.policy.rules import Outcomes, RuleBook, declared_rules
from inference.policy.store import texts_of
from inference.reading.missing import SCORE_FAILED, missing
from inference.reading.served import Served

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Deciding = Callable[[NDArray[np.int64]], Sequence[tuple[Model | None, NDArray[np.int64]]]]
NO_MODEL = Thresholds()


class PolicyEngine:
    """Decides by one policy.

    Args:
        declared: the policy.
        project: whose events are decided.
    """

    def __init__(self, declared: DeclaredPolicy, project: RunningProject) -> None:
        self.project, self.declared, self.policy = project, declared, declared.policy
        self.decisions = project.decisions
        policy, columns = declared.policy, project.service.columns
        self.rules = declared_rules(policy.rules, project)
        self.used = declared.used
        self.book = RuleBook(self.rules, columns, project)
        self.gatekeeper = Gatekeeper(policy.gatekeeper, columns)
        self._people = People(policy.overrides, policy.snoozes, self.rules, project)
        self._reasoner = Reasoner(columns, self.rules, policy.reasons, texts_of(declared, project))
        self._fallback = self.decisions.code(policy.fallback) if declared.used else 0
        self._own = policy.own_limits(self.decisions.names)

    def thresholds_of(self, model: Model | None) -> Limits:
        """Return the thresholds in force over a model's scores: one a decision above the mildest."""
        return self._own or limits_of(model, self.decisions.names)

    def thresholds_over(self, limits: RowLimits) -> RowLimits:
        """Return the thresholds in force over scores whose models have these."""
        return self._own or limits

    def clears(self, vectors: Floats, outcomes: Outcomes, model: Model | None) -> Mask | None:
        """Return the rows that the model need not score; None when it scores all."""
        if self.gatekeeper.mode == "disabled":
            return None
        suspicious = self.book.severity(outcomes) > 0
        return self.gatekeeper.clears(vectors, suspicious, model, self.thresholds_of(model))

    def judge(
        self,
        rows: Columns,
        vectors: Floats,
        served: Served,
        outcomes: Outcomes,
        scores: Floats | None,
        cleared: Mask | None,
        limits: RowLimits,
    ) -> Judged:
        """Return everything that is decided about n rows, without reasons.

        A row without an entity's values because the store is away (a pending event; one in the log brings its
        own) is not for the model or the gatekeeper to judge: its score is left out.

        Args:
            rows: the events' fields, (n,) each.
            scores: (n,), NaN where there is none; None without a model.
            cleared: (n,), or None when the gatekeeper is off.
            limits: of the model, or by row of whoever decides; the policy's own go before them.
        """
        blind = served.blind
        if blind.any():
            scores = None if scores is None else np.where(blind, np.nan, scores)
            cleared = None if cleared is None else cleared & ~blind
        heard = self.book.severity(self._people.heard(rows, outcomes))
        decided = decide(scores, self.thresholds_over(limits), heard, self._fallback)
        scored = np.zeros(len(vectors), np.bool_) if scores is None else ~np.isnan(scores)
        if cleared is not None:
            _clear(decided, cleared)
        answered = np.ones(len(vectors), np.bool_) if scored.all() else self.book.answered(vectors, outcomes)
        rung = rungs(served, scored, answered, cleared)
        unassessed = ~scored & ~answered
        if scores is None and self.used is not None and unassessed.any():
            decided = _fall_back(decided, unassessed, self._fallback)
        decided, settled = self._people.settle(rows, decided)
        lacking = missing(served, scores)
        if cleared is not None:
            lacking[cleared] &= np.uint8(0xFF ^ SCORE_FAILED)
        return Judged(vectors, served, scores, outcomes, decided, lacking, {}, rung, settled, cleared)

    def reasons(self, rows: Columns, judged: Judged, deciding: Deciding) -> dict[int, list[Reason]]:
        """Return the reasons of the rows that are not decided mildest.

        Args:
            deciding: returns, for row numbers, the models that decide them and the places of each among them.
        """
        refused = np.flatnonzero(judged.decided.decision > 0)
        if not len(refused):
            return {}
        heard = self._people.heard(rows, judged.outcomes)
        found: dict[int, list[Reason]] = {}
        for model, places in deciding(refused):
            mine = refused[places]
            given = self._reasoner.explain(mine, judged.vectors, judged.scores, heard, model)
            found |= zip(mine.tolist(), given, strict=True)
        for row, reasons in found.items():
            if judged.cleared is not None and judged.cleared[row] and SCORE_MISSING in reasons:
                reasons.remove(SCORE_MISSING)  # none was due
            if judged.rung[row] == Rung.NOT_ASSESSED and not reasons:
                reasons.append(SCORE_MISSING)
        for row, override in judged.settled.items():
            if row in found:
                found[row].insert(0, reason_of(override))
        return found


def by_one(model: Model | None) -> Deciding:
    """Return that one model decides all rows, or none does."""
    return lambda rows: [(model, np.arange(len(rows)))]


def limits_of(model: Model | None, decisions: Sequence[str]) -> Limits:
    """Return a model's own thresholds."""
    return (NO_MODEL if model is None else model.thresholds).limits(decisions)


def _clear(decided: Decided, cleared: Mask) -> None:
    decided.decision[cleared], decided.decided_by[cleared] = 0, GATEKEEPER
    decided.risk_band[cleared] = NOT_ASSESSED


def _fall_back(decided: Decided, which: Mask, fallback: int) -> Decided:
    """Return the decisions with the fallback where no rule could answer either; `by_rules` may be shared."""
    decision, decided_by = decided.decision.copy(), decided.decided_by.copy()
    decision[which], decided_by[which] = fallback, FALLBACK
    return Decided(decision, decided_by, decided.risk_band)
