"""Declared rules over batches: what must be looked at whatever a model says, and all there is without one.

All conditions are evaluated together over the rows of a batch. A rule hits where its condition is true: by
SQL's logic what depends on a null is no hit, since nothing known is no ground for suspicion. An input that is
not finite, or a rule that fails, is an `error` and is said so.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.frame import Columns
from features.expressions import Nullable, Program, number
from features.expressions.wire import columns_of_wire
from features.project.running import RunningProject
from features.project.schema import stage_schema
from inference.policy.rule import Rule, RuleTerms, rule_of, schema_for

Floats = NDArray[np.float64]
Outcomes = NDArray[np.uint8]

log = structlog.get_logger(__name__)


class Outcome(IntEnum):
    """How a rule answered for one row."""

    NO_HIT = 0
    HIT = 1
    ERROR = 2


def declared_rules(rules: Mapping[str, RuleTerms], project: RunningProject) -> tuple[Rule, ...]:
    """Return the rules that are asked, in the order of the file, in which predictions list them.

    >>> from features.project.running import project_at
    >>> from inference.policy.policy import read_policy
    >>> logins = project_at("examples/logins")
    >>> declared = read_policy(logins.policy_file, logins).policy
    >>> [rule.id for rule in declared_rules(declared.rules, logins)]
    ['guessing', 'stuffing', 'new_password_elsewhere']
    """
    return tuple(rule_of(name, terms, project) for name, terms in rules.items() if terms.enabled)


class RuleBook:
    """The rules in force over a vector of named columns.

    >>> from features.expressions import parse
    >>> above = Rule("limit", "1", 1, "amount", parse("amount > 100"), "")
    >>> amounts = np.array([[100.0], [101.0], [np.nan], [np.inf]])
    >>> from features.project.running import project_at
    >>> RuleBook([above], ("amount",), project_at("examples/logins")).judge(amounts, {}).ravel().tolist()
    [0, 1, 0, 2]
    """

    def __init__(self, rules: Sequence[Rule], columns: Sequence[str], project: RunningProject) -> None:
        self.rules = tuple(rules)
        texts = project.service.categories
        at = {name: index for index, name in enumerate(columns) if name not in texts}
        self._schema = {**schema_for(project), **dict.fromkeys(at, number())}
        self._wire = stage_schema(project.scored_contract)
        self._features = {rule.id: [at[name] for name in rule.inputs if name in at] for rule in self.rules}
        self._program = self._compiled(*self.rules)
        self._names = [name for name in self._program.inputs if name in at]
        self._used = [at[name] for name in self._names]
        self._fields = [name for name in self._program.inputs if name not in at]
        self._severity = np.array([rule.severity for rule in self.rules], np.uint8)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the event that rules read."""
        return tuple(self._fields)

    def judge(self, vectors: Floats, rows: Columns) -> Outcomes:
        """Return each rule's `Outcome` for each row.

        Args:
            vectors: (n, f). rows: the fields of the events that some rule names, (n,) each.

        Returns:
            Shape (n, rules).
        """
        outcomes = np.zeros((len(vectors), len(self.rules)), np.uint8)
        if not self.rules:
            return outcomes
        used = vectors[:, self._used]  # side by side: a vector's columns lie far apart
        columns = self._columns(used, rows)
        try:
            found = self._program.evaluate(columns)
        except Exception:  # one rule's fault is no other's: they are asked again, each alone
            log.exception("rules_failed_together")
            found = {rule.id: self._alone(rule, columns, len(vectors)) for rule in self.rules}
        for column, rule in enumerate(self.rules):
            outcomes[:, column] = found[rule.id].values
        return self._marked(vectors, outcomes) if np.isinf(used).any() else outcomes

    def answered(self, vectors: Floats, outcomes: Outcomes) -> NDArray[np.bool_]:
        """Return at which rows some rule knew enough: it hit, or has its inputs and did not fail."""
        found = (outcomes == Outcome.HIT).any(axis=1)
        for column, rule in enumerate(self.rules):
            known = np.isfinite(vectors[:, self._features[rule.id]]).all(axis=1)
            found |= known & (outcomes[:, column] != Outcome.ERROR)
        return np.asarray(found, np.bool_)

    def severity(self, outcomes: Outcomes) -> NDArray[np.uint8]:
        """Return the severest decision that the hits ask for; (n,) codes, 0 where nothing hit."""
        if not self.rules:
            return np.zeros(len(outcomes), np.uint8)
        return np.asarray(((outcomes == Outcome.HIT) * self._severity).max(axis=1), dtype=np.uint8)

    def _compiled(self, *rules: Rule) -> Program:
        return Program({rule.id: rule.condition for rule in rules}, self._schema, truth_only=True)

    def _columns(self, used: Floats, rows: Columns) -> dict[str, Any]:
        """Return the columns that rules read; of a rule that reads none, one to know the rows by."""
        found: dict[str, Any] = {name: used[:, at] for at, name in enumerate(self._names)}
        found |= columns_of_wire(rows, self._wire, [name for name in self._fields if name in rows])
        return found or {"": np.empty(len(used))}

    def _alone(self, rule: Rule, columns: dict[str, Any], count: int) -> Nullable:
        """Return one rule's answers; its fault is its answer in every prediction it was asked for."""
        try:
            return self._compiled(rule).evaluate(columns)[rule.id]
        except Exception:
            log.exception("rule_failed", rule=rule.id, version=rule.version)
            return Nullable(np.full(count, Outcome.ERROR, np.uint8))

    def _marked(self, vectors: Floats, outcomes: Outcomes) -> Outcomes:
        """Mark as errors what rules answered about numbers that are not finite."""
        for column, rule in enumerate(self.rules):
            endless = np.isinf(vectors[:, self._features[rule.id]]).any(axis=1)
            outcomes[endless, column] = Outcome.ERROR
        return outcomes
