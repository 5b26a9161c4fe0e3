"""Why an event was not decided mildest: rules that hit, then what raised the score most, as codes and texts.

A sentence says the value that it is about. No reason stands twice in a list: features that mean the same to a
person are a family, which is named once, by the one of them that raised the score most.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.events import Reason
from inference.models.model import Model
from inference.policy.policy import ReasonTerms, ReasonText
from inference.policy.rule import Rule
from inference.policy.rules import Outcome, Outcomes

Floats = NDArray[np.float64]

OTHER = "OTHER"  # of a feature without a family, each a reason of its own
NOT_EXPLAINED = Reason(
    code="NOT_EXPLAINED",
    text="More events needed reasons than are computed at once; `headrace explain` gives them.",
)
SCORE_MISSING = Reason(code="SCORE_MISSING", text="The model gave no usable score; a person should look.")


def family(feature: str, texts: Mapping[str, ReasonText]) -> tuple[str, str]:
    """Return a feature's reason code and sentence: those of the first beginning that its name has.

    >>> texts = {"ip_": ReasonText(code="ADDRESS", text="What came from this address.")}
    >>> family("ip_logins_count_1h", texts)[0], family("failed_count_1h", texts)
    ('ADDRESS', ('OTHER', 'Failed count 1h.'))
    """
    for begin, said in texts.items():
        if feature.startswith(begin):
            return said.code, said.text
    return OTHER, f"{feature.replace('_', ' ').capitalize()}."


class Reasoner:
    """Gives reasons for the rows of a batch that were not decided mildest.

    Contributions are LightGBM's own SHAP values: with the expected value they add up to the raw score.
    They cost about half a millisecond a row, so at most `rows_max` of a batch get them, highest scores
    first, and the rest say so.
    """

    def __init__(
        self, columns: Sequence[str], rules: Sequence[Rule], terms: ReasonTerms,
        texts: Mapping[str, ReasonText],
    ) -> None:  # fmt: skip
        self._columns, self._rules = tuple(columns), tuple(rules)
        self._families = [family(name, texts) for name in columns]
        self._top, self._rows_max = terms.a_row, terms.rows_max
        self._by_rule = [
            (rule, self._columns.index(rule.feature) if rule.feature else -1) for rule in self._rules
        ]

    def explain(
        self,
        rows: NDArray[np.int64],
        vectors: Floats,
        scores: Floats | None,
        outcomes: Outcomes,
        model: Model | None,
    ) -> list[list[Reason]]:
        """Return the reasons of the named rows, strongest first; the arrays are of all n rows."""
        reasons = [self._of_rules(row, vectors, outcomes) for row in rows.tolist()]
        if model is None or scores is None or not len(rows):
            return reasons
        scored = np.flatnonzero(~np.isnan(scores[rows]))
        by_score = scored[np.argsort(-scores[rows[scored]], kind="stable")]
        for at in by_score[self._rows_max :].tolist():
            reasons[at].append(NOT_EXPLAINED)
        for at in np.flatnonzero(np.isnan(scores[rows])).tolist():
            reasons[at].append(SCORE_MISSING)
        explained = by_score[: self._rows_max]
        if len(explained):
            added = model.contributions(vectors[rows[explained]])[:, :-1]
            for at, row_added in zip(explained.tolist(), added, strict=True):
                reasons[at] += self._of_model(vectors[rows[at]], row_added)
        return reasons

    def _of_rules(self, row: int, vectors: Floats, outcomes: Outcomes) -> list[Reason]:
        return [
            _of_rule(rule, float(vectors[row, at]))
            for column, (rule, at) in enumerate(self._by_rule)
            if outcomes[row, column] == Outcome.HIT
        ]

    def _of_model(self, vector: Floats, added: Floats) -> list[Reason]:
        """Return what raised the score most; what lowered it is no reason for being severe."""
        raised = np.argsort(-added, kind="stable")[: int((added > 0).sum())]
        strongest: dict[str, int] = {}
        for at in raised.tolist():
            code = self._families[at][0]
            strongest.setdefault(self._columns[at] if code == OTHER else code, at)
        return [
            Reason(
                code=self._families[at][0], feature=self._columns[at], value=_known(vector[at]),
                contribution=float(added[at]),
                text=_with_value(self._families[at][1], self._columns[at], vector[at]),
            )
            for at in list(strongest.values())[: self._top]
        ]  # fmt: skip


def _of_rule(rule: Rule, value: float) -> Reason:
    """Return a hit's reason, with the value of the feature that the rule is about, if it is about one."""
    code = f"RULE_{rule.id.upper()}"
    if not rule.feature:
        return Reason(code=code, text=rule.text)
    text = _with_value(rule.text, rule.feature, value)
    return Reason(code=code, feature=rule.feature, value=_known(value), text=text)


def _with_value(text: str, feature: str, value: float) -> str:
    """Return a sentence with the value that it is about.

    >>> _with_value("The amount itself.", "amount_minor", 1000001.0)
    'The amount itself: amount_minor is 1000001.'
    >>> _with_value("The amount itself.", "amount_minor", float("nan"))
    'The amount itself: amount_minor is not known.'
    """
    if not np.isfinite(value):
        return f"{text.rstrip('.')}: {feature} is not known."
    return f"{text.rstrip('.')}: {feature} is {value:{'.4g' if value % 1 else '.0f'}}."


def _known(value: float) -> float | None:
    """Return a finite value; null for what is absent, since JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
