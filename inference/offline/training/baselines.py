"""What a model must beat to be worth its keep: a constant, and logistic regression on the same columns."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PENALTY = 1.0  # L2, on standardised columns
STEPS_MAX = 25
ROWS_MAX = 200_000  # the newest ones; more change the third digit and cost a gigabyte


class LogisticRegression:
    """Logistic regression on signed logarithms of the columns, standardised, with a flag for nulls.

    L2-penalised maximum likelihood by Newton's method (iteratively reweighted least squares; Hastie,
    Tibshirani and Friedman, The Elements of Statistical Learning, 2009, section 4.4.1).

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0], [np.nan]])
    >>> model = LogisticRegression.fit(x, np.array([0, 0, 1, 1, 0]))
    >>> scores = model.predict(x)
    >>> bool(scores[3] > scores[0])
    True
    """

    def __init__(self, mean: Floats, spread: Floats, weights: Floats) -> None:
        self._mean, self._spread, self._weights = mean, spread, weights

    @classmethod
    def fit(cls, vectors: Floats, positive: Ints) -> "LogisticRegression":
        """Return the regression of vectors (n, f) on outcomes (n,), rows in order of time."""
        squeezed = _squeeze(vectors[-ROWS_MAX:])
        known = np.isfinite(squeezed)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, squeezed, 0.0).sum(axis=0) / count
        variance = np.where(known, (squeezed - mean) ** 2, 0.0).sum(axis=0) / count
        spread = np.where(variance > 0, np.sqrt(variance), 1.0)
        design = _design(squeezed, mean, spread)
        return cls(mean, spread, _newton(design, positive[-ROWS_MAX:].astype(np.float64)))

    def predict(self, vectors: Floats) -> Floats:
        """Return the probability of a positive of each row; vectors (n, f), result (n,)."""
        return _probability(_design(_squeeze(vectors), self._mean, self._spread) @ self._weights)


def constant(positive: Ints, rows: int) -> Floats:
    """Return the share of positives, for each of `rows` rows."""
    return np.full(rows, float(positive.mean()))


def _squeeze(vectors: Floats) -> Floats:
    return np.asarray(np.sign(vectors) * np.log1p(np.abs(vectors)))


def _design(squeezed: Floats, mean: Floats, spread: Floats) -> Floats:
    null = ~np.isfinite(squeezed)
    standard = np.where(null, 0.0, (np.where(null, 0.0, squeezed) - mean) / spread)
    return np.column_stack([standard, null.astype(np.float64), np.ones(len(squeezed))])


def _newton(design: Floats, positive: Floats) -> Floats:
    """Return the weights (k,) of a design (n, k); the last one, the constant's, is not penalised."""
    penalty = np.full(design.shape[1], PENALTY)
    penalty[-1] = 1e-9
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS_MAX):
        chance = _probability(design @ weights)
        gradient = design.T @ (chance - positive) + penalty * weights
        curve = (design * (chance * (1.0 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curve, gradient)
        weights -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights


def _probability(raw: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(raw, -700.0, 700.0))))
