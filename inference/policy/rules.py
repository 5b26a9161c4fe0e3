"""Declared rules: what must be looked at whatever a model says, and all there is while no model decides.

A rule reads columns of the vector, all rows of a batch at once. A null input is no hit: nothing known is
no ground for suspicion. An input that is not finite, or a rule that fails, is an `error` and is said so.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from inference.policy.policy import Rules, RuleTerms

Floats = NDArray[np.float64]
Outcomes = NDArray[np.uint8]

log = structlog.get_logger(__name__)


class Outcome(IntEnum):
    """How a rule answered for one row."""

    NO_HIT = 0
    HIT = 1
    ERROR = 2


class Severity(IntEnum):
    """Decisions, mildest first."""

    APPROVE = 0
    REVIEW = 1
    DECLINE = 2


class Rule(NamedTuple):
    """One declared rule; a change of what it does needs a new version.

    `hits` gets the columns that `inputs` names, each (n,), and returns (n,) bools; `feature` is the input
    that a reason shows. `figures` are the inputs' values at which the answer turns.
    """

    id: str
    version: str
    severity: Severity
    feature: str
    inputs: tuple[str, ...]
    text: str
    hits: Callable[..., NDArray[Any]]
    figures: tuple[tuple[str, float], ...] = ()


def declared_rules(terms: Rules) -> tuple[Rule, ...]:
    """Return the rules that are asked under these terms, in the order in which predictions list them.

    >>> from inference.policy import DEFAULT
    >>> from inference.policy.policy import read_policy
    >>> [rule.id for rule in declared_rules(read_policy(DEFAULT).policy.rules)]
    ['amount_limit', 'customer_velocity', 'amount_jump', 'terminal_frauds']
    """
    limit, velocity, jump, frauds = (
        terms.amount_limit, terms.customer_velocity, terms.amount_jump, terms.terminal_frauds
    )  # fmt: skip
    rules = (
        Rule(
            id="amount_limit", version="1", severity=_severity(limit), feature="amount_minor",
            inputs=("amount_minor",), text="The amount is above the limit for one payment.",
            hits=lambda amount: amount > limit.amount_minor,
            figures=(("amount_minor", limit.amount_minor),),
        ),
        Rule(
            id="customer_velocity", version="1", severity=_severity(velocity), feature="customer_count_1h",
            inputs=("customer_count_1h",), text="The customer paid unusually often within one hour.",
            hits=lambda count: count > velocity.payments_1h,
            figures=(("customer_count_1h", velocity.payments_1h),),
        ),
        Rule(
            id="amount_jump", version="1", severity=_severity(jump), feature="customer_amount_ratio_30d",
            inputs=("amount_minor", "customer_amount_ratio_30d"),
            text="The amount is many times what this customer usually pays.",
            hits=lambda amount, ratio: (
                (ratio > jump.amount_times_usual) & (amount > jump.amount_usual_minor)
            ),
            figures=(
                ("amount_minor", jump.amount_usual_minor),
                ("customer_amount_ratio_30d", jump.amount_times_usual),
            ),
        ),
        Rule(
            id="terminal_frauds", version="1", severity=_severity(frauds), feature="terminal_fraud_ratio_7d",
            inputs=("terminal_fraud_ratio_7d", "terminal_labels_7d"),
            text="A large share of this terminal's judged payments of the last 7 days were frauds.",
            hits=lambda ratio, labels: (
                (ratio >= frauds.terminal_fraud_ratio_7d) & (labels >= frauds.terminal_labels_7d)
            ),
            figures=(
                ("terminal_fraud_ratio_7d", frauds.terminal_fraud_ratio_7d),
                ("terminal_labels_7d", frauds.terminal_labels_7d),
            ),
        ),
    )  # fmt: skip
    return tuple(rule for rule in rules if getattr(terms, rule.id).enabled)


def _severity(terms: RuleTerms) -> Severity:
    return Severity[terms.severity.upper()]


class RuleBook:
    """The rules in force over a vector of named columns.

    >>> above = Rule("limit", "1", Severity.REVIEW, "amount", ("amount",), "", lambda amount: amount > 100)
    >>> amounts = np.array([[100.0], [101.0], [np.nan], [np.inf]])
    >>> RuleBook([above], ("amount",)).judge(amounts).ravel().tolist()
    [0, 1, 0, 2]
    """

    def __init__(self, rules: Sequence[Rule], columns: Sequence[str]) -> None:
        self.rules = tuple(rules)
        at = {name: index for index, name in enumerate(columns)}
        self._inputs: Mapping[str, list[int]] = {
            rule.id: [at[name] for name in rule.inputs] for rule in self.rules
        }
        self._severity = np.array([rule.severity for rule in self.rules], np.uint8)

    def judge(self, vectors: Floats) -> Outcomes:
        """Return each rule's `Outcome` for each row; vectors (n, f), result (n, rules)."""
        outcomes = np.zeros((len(vectors), len(self.rules)), np.uint8)
        for column, rule in enumerate(self.rules):
            inputs = [vectors[:, at] for at in self._inputs[rule.id]]
            try:
                outcomes[rule.hits(*inputs), column] = Outcome.HIT
                outcomes[np.logical_or.reduce([np.isinf(values) for values in inputs]), column] = (
                    Outcome.ERROR
                )
            except Exception:  # a rule's fault is that rule's answer, in every prediction it was asked for
                log.exception("rule_failed", rule=rule.id, version=rule.version)
                outcomes[:, column] = Outcome.ERROR
        return outcomes

    def answered(self, vectors: Floats, outcomes: Outcomes) -> NDArray[np.bool_]:
        """Tell of each row whether some rule knew enough: its inputs are there and it did not fail."""
        found = np.zeros(len(vectors), np.bool_)
        for column, rule in enumerate(self.rules):
            known = np.isfinite(vectors[:, self._inputs[rule.id]]).all(axis=1)
            found |= known & (outcomes[:, column] != Outcome.ERROR)
        return found

    def severity(self, outcomes: Outcomes) -> NDArray[np.uint8]:
        """Return the severest decision that the hits ask for; (n,), APPROVE where nothing hit."""
        if not self.rules:
            return np.zeros(len(outcomes), np.uint8)
        return np.asarray(((outcomes == Outcome.HIT) * self._severity).max(axis=1), dtype=np.uint8)
