"""How far a window's shares of bins are from those expected, and how far chance alone would bring them.

All take observed shares `p` and expected shares `q`, shape (..., bins), each row summing to 1, and return
shape (...). A bin that both leave empty adds nothing.

To second order all but KS are the same number d = sum((p - q)^2 / q): PSI is d, KL half of it, Jensen-Shannon
an eighth. Where nothing changed, d times the harmonic size n*N/(n+N) follows chi-squared with bins - 1
degrees of freedom (Yurdakul, Statistical Properties of Population Stability Index, 2018). So one effect
and one probability give every statistic its limit, and they can be compared.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, kolmogi, rel_entr

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


def psi(p: Floats, q: Floats) -> Floats:
    """Return the population stability index, sum((p - q) ln(p / q)).

    >>> round(float(psi(np.array([0.5, 0.5]), np.array([0.6, 0.4]))), 5)
    0.04055
    """
    return np.asarray((rel_entr(p, q) + rel_entr(q, p)).sum(axis=-1))


def kl(p: Floats, q: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of the observed from the expected, in nats."""
    return np.asarray(rel_entr(p, q).sum(axis=-1))


def js(p: Floats, q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence, in nats: at most ln 2, also where a bin is new."""
    middle = (p + q) / 2
    return np.asarray((rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2)


def chi2(p: Floats, q: Floats) -> Floats:
    """Return Pearson's chi-squared over the number of rows: the squared effect size w (Cohen 1988)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(q > 0, (p - q) ** 2 / q, np.where(p > 0, np.inf, 0.0))
    return np.asarray(terms.sum(axis=-1))


def ks(p: Floats, q: Floats) -> Floats:
    """Return the greatest distance of the two cumulative shares, Kolmogorov-Smirnov's D over bins."""
    return np.asarray(np.abs(np.cumsum(p - q, axis=-1)).max(axis=-1))


STATISTICS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "psi": psi, "ks": ks, "chi2": chi2, "kl": kl, "js": js,
}  # fmt: skip
_OF_PSI = {"psi": 1.0, "chi2": 1.0, "kl": 0.5, "js": 0.125}


def limits(
    name: str, effect: float, chance: float, rows: Floats | Ints, reference_rows: Floats, bins: Ints,
    spread: Floats | float = 0.0,
) -> Floats:  # fmt: skip
    """Return from where on a statistic tells of a change, shape (k,).

    Args:
        effect: the smallest PSI that matters; the others' equivalent is used, and of KS a third of its
            root: a normal that moves by m deviations has a PSI of m^2 and a D of 0.4 m.
        chance: how likely a larger value may be where nothing has changed.
        rows, reference_rows, bins: (k,) rows in the window and in what is expected that are not null, bins.
        spread: (k,) by how much two windows differ beyond chance, as if both were so much smaller: rows of
            one key are not independent (the random effect of a cluster, Rao and Scott 1981).

    >>> limits("psi", 0.1, 1e-6, np.array([1e9]), np.array([1e9]), np.array([10]))
    array([0.1])
    """
    inverse = 1.0 / np.maximum(rows, 1.0) + 1.0 / np.maximum(reference_rows, 1.0) + spread
    if name == "ks":
        return np.asarray(np.maximum(np.sqrt(effect) / 3, kolmogi(chance) * np.sqrt(inverse)))
    noise = chdtri(np.maximum(bins - 1, 1), chance) * inverse
    return np.asarray(_OF_PSI[name] * np.maximum(effect, noise))


def share_limits(
    least: float | Floats, chance: float, rows: float, reference_rows: Floats, share: Floats,
    spread: Floats | float = 0.0,
) -> Floats:  # fmt: skip
    """Return from where on a share has moved, shape (k,): `least`, or what chance explains if that is more.

    The normal bound of a difference of two shares, with half a row of continuity; `spread` is the variance
    that days have beyond chance.
    """
    inverse = 1.0 / max(rows, 1.0) + 1.0 / np.maximum(reference_rows, 1.0)
    smoothed = (share * rows + 0.5) / (rows + 1.0)
    variance = smoothed * (1 - smoothed) * inverse + spread
    noise = np.sqrt(chdtri(1, chance) * variance) + 0.5 / max(rows, 1.0)
    return np.asarray(np.maximum(least, noise))


def distance(chance: float, variance: float) -> float:
    """Return how far a normal number of that variance is from its mean, but for that chance.

    >>> round(distance(0.05, 1.0), 2)
    1.96
    """
    return float(np.sqrt(chdtri(1, chance) * variance))
