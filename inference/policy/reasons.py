"""Why a payment was not approved: rules that hit, then what raised the score most, as codes and sentences."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.events import Reason
from inference.models.model import Model
from inference.policy.rules import Outcome, Outcomes, Rule

Floats = NDArray[np.float64]

# A feature belongs to the first family whose beginning it has. Codes are for programs and never change.
FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("amount_minor", "AMOUNT", "The amount itself."),
    ("hour_of_day", "TIME_OF_DAY", "The time of day."),
    ("is_night", "TIME_OF_DAY", "The time of day."),
    ("is_weekend", "DAY_OF_WEEK", "The day of the week."),
    ("customer_amount_zscore", "CUSTOMER_AMOUNT_UNUSUAL", "The amount is unusual for this customer."),
    ("customer_amount_ratio", "CUSTOMER_AMOUNT_UNUSUAL", "The amount is unusual for this customer."),
    ("customer_amount", "CUSTOMER_AMOUNTS", "What this customer paid lately."),
    ("customer_last_amount", "CUSTOMER_AMOUNTS", "What this customer paid lately."),
    ("customer_count", "CUSTOMER_FREQUENCY", "How often this customer paid lately."),
    ("customer_frequency", "CUSTOMER_FREQUENCY", "How often this customer paid lately."),
    ("customer_ms_since_last", "CUSTOMER_FREQUENCY", "How soon this payment followed the one before."),
    ("customer_terminals", "CUSTOMER_TERMINALS", "At how many terminals this customer paid lately."),
    ("terminal_fraud_ratio", "TERMINAL_FRAUDS", "Frauds among this terminal's judged payments."),
    ("terminal_frauds", "TERMINAL_FRAUDS", "Frauds among this terminal's judged payments."),
    ("terminal_labels", "TERMINAL_FRAUDS", "How many of this terminal's payments were judged lately."),
    ("terminal_amount", "TERMINAL_AMOUNTS", "The amounts paid at this terminal lately."),
    ("terminal_count", "TERMINAL_FREQUENCY", "How often this terminal was used lately."),
    ("terminal_frequency", "TERMINAL_FREQUENCY", "How often this terminal was used lately."),
    ("terminal_customers", "TERMINAL_CUSTOMERS", "How many customers used this terminal lately."),
    ("profile_", "CUSTOMER_PROFILE", "The customer's long-term habits."),
)
NOT_EXPLAINED = Reason(
    code="NOT_EXPLAINED",
    text="More payments needed reasons than are computed at once; `headrace explain` gives them.",
)
SCORE_MISSING = Reason(code="SCORE_MISSING", text="The model gave no usable score; a person should look.")


def family(feature: str) -> tuple[str, str]:
    """Return a feature's reason code and sentence.

    >>> family("terminal_fraud_ratio_7d")[0]
    'TERMINAL_FRAUDS'
    """
    for begin, code, text in FAMILIES:
        if feature.startswith(begin):
            return code, text
    return "OTHER", f"{feature.replace('_', ' ').capitalize()}."


class Reasoner:
    """Gives reasons for the rows of a batch that were not approved.

    Contributions are LightGBM's own SHAP values: with the expected value they add up to the raw score.
    They cost about half a millisecond a row, so at most `rows_max` of a batch get them, highest scores
    first, and the rest say so.
    """

    def __init__(
        self, columns: Sequence[str], rules: Sequence[Rule], top: int = 3, rows_max: int = 64
    ) -> None:
        self._columns, self._rules = tuple(columns), tuple(rules)
        self._families = [family(name) for name in columns]
        self._top, self._rows_max = top, rows_max
        self._by_rule = [(rule, rule.feature, self._columns.index(rule.feature)) for rule in self._rules]

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
            Reason(
                code=f"RULE_{rule.id.upper()}", feature=name, value=_known(vectors[row, at]), text=rule.text
            )
            for column, (rule, name, at) in enumerate(self._by_rule)
            if outcomes[row, column] == Outcome.HIT
        ]

    def _of_model(self, vector: Floats, added: Floats) -> list[Reason]:
        """Return what raised the score most; what lowered it is no reason for not approving."""
        strongest = np.argsort(-added, kind="stable")[: self._top]
        return [
            Reason(
                code=self._families[at][0], feature=self._columns[at], value=_known(vector[at]),
                contribution=float(added[at]), text=self._families[at][1],
            )
            for at in strongest.tolist() if added[at] > 0
        ]  # fmt: skip


def _known(value: float) -> float | None:
    """Return a finite value; null for what is absent, since JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
