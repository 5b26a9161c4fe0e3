"""What people declared for a while: overrides of decisions, and snoozes of rules or of a customer's reviews.

Event time decides whether one still holds, so deciding again later gives the same.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.events import Reason
from contracts.frame import Columns
from inference.policy.decision import OVERRIDE, Codes, Decided
from inference.policy.policy import Override, Snooze
from inference.policy.rules import Outcome, Outcomes, Rule, Severity

Mask = NDArray[np.bool_]


class People:
    """The overrides and snoozes of a policy.

    Args:
        rules: those that are asked, in the order of the outcomes' columns.
    """

    def __init__(
        self, overrides: Sequence[Override], snoozes: Sequence[Snooze], rules: Sequence[Rule]
    ) -> None:
        self._overrides = tuple(overrides)
        at = {rule.id: number for number, rule in enumerate(rules)}
        self._muted_rules = [(at[s.rule], s) for s in snoozes if s.rule in at]
        self._muted_customers = [s for s in snoozes if s.rule is None]

    def heard(self, rows: Columns, outcomes: Outcomes) -> Outcomes:
        """Return the outcomes that count: a muted rule's hit is none. What is recorded stays a hit."""
        if not self._muted_rules:
            return outcomes
        heard = outcomes.copy()
        for column, snooze in self._muted_rules:
            muted = rows["event_time"] < snooze.until_ms
            if snooze.customer is not None:
                muted &= rows["customer_id"] == snooze.customer.encode()
            heard[muted & (heard[:, column] == Outcome.HIT), column] = Outcome.NO_HIT
        return heard

    def settle(self, rows: Columns, decided: Decided) -> tuple[Decided, dict[int, Override]]:
        """Return the decisions after people had their say, and which override settled which row.

        Where several overrides meet, the severest holds. A muted customer's reviews become approvals.
        """
        if not self._overrides and not self._muted_customers:
            return decided, {}
        decision, decided_by = decided.decision.copy(), decided.decided_by.copy()
        for snooze in self._muted_customers:
            mine = _before(rows, "customer_id", snooze.customer, snooze.until_ms)
            mine &= decision == Severity.REVIEW
            decision[mine], decided_by[mine] = Severity.APPROVE, OVERRIDE
        settled: dict[int, Override] = {}
        for override in sorted(self._overrides, key=lambda one: Severity[one.decision.upper()]):
            key, name = (
                (override.customer, "customer_id")
                if override.customer
                else (override.terminal, "terminal_id")
            )
            mine = _before(rows, name, key, override.until_ms)
            decision[mine], decided_by[mine] = Severity[override.decision.upper()], OVERRIDE
            settled |= dict.fromkeys(np.flatnonzero(mine).tolist(), override)
        return Decided(_codes(decision), _codes(decided_by), decided.risk_band), settled


def reason_of(override: Override) -> Reason:
    """Return why an override did not approve a payment."""
    whose = "customer" if override.customer is not None else "terminal"
    return Reason(code="OVERRIDE", text=f"Declared for this {whose} until {override.until} ({override.id}).")


def _before(rows: Columns, name: str, key: str | None, until_ms: int) -> Mask:
    return np.asarray((rows[name] == (key or "").encode()) & (rows["event_time"] < until_ms))


def _codes(values: Codes) -> Codes:
    return values.astype(np.uint8)
