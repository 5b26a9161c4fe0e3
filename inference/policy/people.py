"""What people declared for a while: overrides of decisions, and snoozes of rules or of what waits for people.

Event time decides whether one still holds, so deciding again later gives the same.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.events import Reason
from contracts.frame import Columns
from contracts.keys import key_of
from features.project.running import RunningProject
from inference.policy.decision import OVERRIDE, Codes, Decided
from inference.policy.policy import Override, Snooze
from inference.policy.rule import Rule
from inference.policy.rules import Outcome, Outcomes

Mask = NDArray[np.bool_]


class People:
    """The overrides and snoozes of a policy.

    Args:
        rules: those that are asked, in the order of the outcomes' columns.
    """

    def __init__(
        self, overrides: Sequence[Override], snoozes: Sequence[Snooze], rules: Sequence[Rule],
        project: RunningProject,
    ) -> None:  # fmt: skip
        self._decisions, self._event = project.decisions, project.event
        self._overrides = tuple(sorted(overrides, key=lambda one: project.decisions.code(one.decision)))
        at = {rule.id: number for number, rule in enumerate(rules)}
        self._muted_rules = [(at[s.rule], s) for s in snoozes if s.rule in at]
        self._muted_keys = [s for s in snoozes if s.rule is None]

    def heard(self, rows: Columns, outcomes: Outcomes) -> Outcomes:
        """Return the outcomes that count: a muted rule's hit is none. What is recorded stays a hit."""
        if not self._muted_rules:
            return outcomes
        heard = outcomes.copy()
        for column, snooze in self._muted_rules:
            muted = self._before(rows, snooze)
            heard[muted & (heard[:, column] == Outcome.HIT), column] = Outcome.NO_HIT
        return heard

    def settle(self, rows: Columns, decided: Decided) -> tuple[Decided, dict[int, Override]]:
        """Return the decisions after people had their say, and which override settled which row.

        Where several overrides meet, the severest holds. What would wait for people because of a muted key is
        decided mildest.
        """
        if not self._overrides and not self._muted_keys:
            return decided, {}
        decision, decided_by = decided.decision.copy(), decided.decided_by.copy()
        for snooze in self._muted_keys:
            mine = self._before(rows, snooze) & np.isin(decision, self._decisions.queued)
            decision[mine], decided_by[mine] = 0, OVERRIDE
        settled: dict[int, Override] = {}
        for override in self._overrides:
            mine = self._before(rows, override)
            decision[mine], decided_by[mine] = self._decisions.code(override.decision), OVERRIDE
            settled |= dict.fromkeys(np.flatnonzero(mine).tolist(), override)
        return Decided(_codes(decision), _codes(decided_by), decided.risk_band), settled

    def _before(self, rows: Columns, one: Override | Snooze) -> Mask:
        """Tell of each row whether it has the keys, if any are named, and lies before the end."""
        found = np.asarray(rows[self._event.time] < one.until_ms)
        for entity, key in one.keys.items():
            found &= key_of(rows, self._event.chain.named(entity).fields) == key.encode()
        return found


def reason_of(override: Override) -> Reason:
    """Return why an override did not decide mildest."""
    whose = ", ".join(override.keys)
    return Reason(code="OVERRIDE", text=f"Declared for this {whose} until {override.until} ({override.id}).")


def _codes(values: Codes) -> Codes:
    return values.astype(np.uint8)
