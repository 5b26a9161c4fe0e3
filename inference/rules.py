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

from inference.scorer_settings import RuleSettings

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
    that a reason shows.
    """

    id: str
    version: str
    severity: Severity
    feature: str
    inputs: tuple[str, ...]
    text: str
    hits: Callable[..., NDArray[Any]]


def declared_rules(limits: RuleSettings) -> tuple[Rule, ...]:
    """Return the rules in force, in the order in which predictions list them.

    >>> [rule.id for rule in declared_rules(RuleSettings())]
    ['amount_limit', 'customer_velocity', 'amount_jump', 'terminal_frauds']
    """
    return (
        Rule(
            id="amount_limit", version="1", severity=Severity.REVIEW, feature="amount_minor",
            inputs=("amount_minor",), text="The amount is above the limit for one payment.",
            hits=lambda amount: amount > limits.amount_minor,
        ),
        Rule(
            id="customer_velocity", version="1", severity=Severity.REVIEW, feature="customer_count_1h",
            inputs=("customer_count_1h",), text="The customer paid unusually often within one hour.",
            hits=lambda count: count > limits.payments_1h,
        ),
        Rule(
            id="amount_jump", version="1", severity=Severity.REVIEW, feature="customer_amount_ratio_30d",
            inputs=("amount_minor", "customer_amount_ratio_30d"),
            text="The amount is many times what this customer usually pays.",
            hits=lambda amount, ratio: (
                (ratio > limits.amount_times_usual) & (amount > limits.amount_usual_minor)
            ),
        ),
        Rule(
            id="terminal_frauds", version="1", severity=Severity.REVIEW, feature="terminal_fraud_ratio_7d",
            inputs=("terminal_fraud_ratio_7d", "terminal_labels_7d"),
            text="A large share of this terminal's judged payments of the last 7 days were frauds.",
            hits=lambda ratio, labels: (
                (ratio >= limits.terminal_fraud_ratio_7d) & (labels >= limits.terminal_labels_7d)
            ),
        ),
    )  # fmt: skip


class RuleBook:
    """The rules in force over a vector of named columns.

    >>> book = RuleBook(declared_rules(RuleSettings(amount_minor=100))[:1], ("amount_minor",))
    >>> book.judge(np.array([[100.0], [101.0], [np.nan], [np.inf]])).ravel().tolist()
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

    def severity(self, outcomes: Outcomes) -> NDArray[np.uint8]:
        """Return the severest decision that the hits ask for; (n,), APPROVE where nothing hit."""
        if not self.rules:
            return np.zeros(len(outcomes), np.uint8)
        return np.asarray(((outcomes == Outcome.HIT) * self._severity).max(axis=1), dtype=np.uint8)
