"""How decisions and their errors fall on declared segments, and when a difference is past its limit.

Rates by segment, over a window of matured payments: the share approved; of good payments the share flagged
(false positives); of frauds the share missed (false negatives). Three comparisons raise an alert: the share
approved over the best-treated segment's (disparate impact), and each error rate over that of all others. An
alert needs enough payments and a difference that chance seldom gives (two-sided test of two proportions).
"""

from collections.abc import Mapping
from math import erfc, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns
from inference.learner.ledger import UNKNOWN
from inference.learner.settings import FairnessSettings

APPROVE = 0
Mask = NDArray[np.bool_]


class Segment(NamedTuple):
    """One segment's counts and rates; a rate without payments is left out."""

    name: str
    counts: dict[str, int]
    figures: dict[str, float]


class Breach(NamedTuple):
    """A segment past a limit: what, how far, against which limit."""

    segment: str
    code: str
    what: str
    figures: dict[str, float]

    @property
    def key(self) -> str:
        """Name of the alert, for as long as it lasts."""
        return f"{self.code} {self.segment}"


def segments(
    rows: Columns, words: Mapping[str, list[str]], settings: FairnessSettings
) -> tuple[list[Segment], list[Breach]]:
    """Return every segment's figures, and those past their limit.

    Args:
        rows: n payments as `Ledger.judged` returns them.
        words: the texts that the numbers of `channel` and `country` stand for.

    >>> rows = {"decision": np.array([0, 1]), "fraud": np.array([0, 0]), "channel": np.array([0, 1]),
    ...     "country": np.array([-1, -1]), "amount_minor": np.array([5, 5])}
    >>> words = {"channel": ["pos", "atm"], "country": []}
    >>> found, _ = segments(rows, words, FairnessSettings(segments="channel"))
    >>> [(each.name, each.figures["approval_rate"]) for each in found]
    [('channel=atm', 0.0), ('channel=pos', 1.0)]
    """
    found: list[Segment] = []
    breaches: list[Breach] = []
    for column in settings.segment_columns:
        members = _members(rows, column, words, settings.bands_minor)
        told = {name: _counts(rows, mine) for name, mine in members.items()}
        rates = {name: _rates(counts) for name, counts in told.items()}
        enough = [n for n in told if told[n]["payments"] >= settings.rows_min]
        best = max(enough, key=lambda name: rates[name]["approval_rate"], default="")
        whole = _sum(list(told.values()))
        for name, counts in told.items():
            if best and rates[best]["approval_rate"]:
                rates[name]["disparate_impact"] = rates[name]["approval_rate"] / rates[best]["approval_rate"]
            found.append(Segment(name, counts, rates[name]))
            breaches += _breaches(name, counts, rates[name], told.get(best), whole, settings)
    return found, breaches


def chance(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """Return how likely two shares differ as much by chance: two proportions, pooled, two-sided.

    >>> chance(50, 100, 50, 100), chance(10, 1000, 100, 1000) < 1e-10
    (1.0, True)
    """
    pooled = (hits + other_hits) / (of + other_of)
    spread = sqrt(pooled * (1 - pooled) * (1 / of + 1 / other_of))
    return erfc(abs(hits / of - other_hits / other_of) / spread / sqrt(2)) if spread else 1.0


def _members(
    rows: Columns, column: str, words: Mapping[str, list[str]], bands: tuple[int, ...]
) -> dict[str, Mask]:
    if column == "amount_band":
        amount = rows["amount_minor"]
        which = np.searchsorted(np.array(bands), amount, side="right")
        names = [f"under_{bands[0]}", *(f"from_{band}" for band in bands)] if bands else ["all"]
        members = {name: (which == at) & (amount != UNKNOWN) for at, name in enumerate(names)}
    else:
        members = {(word or "none"): rows[column] == number for number, word in enumerate(words[column])}
    return {f"{column}={name}": mine for name, mine in sorted(members.items()) if mine.any()}


def _counts(rows: Columns, mine: Mask) -> dict[str, int]:
    decision, fraud = rows["decision"][mine], rows["fraud"][mine]
    flagged = decision != APPROVE
    return {
        "payments": len(decision), "approved": int((~flagged).sum()), "declined": int((decision == 2).sum()),
        "good": int((fraud == 0).sum()), "good_flagged": int((flagged & (fraud == 0)).sum()),
        "frauds": int((fraud == 1).sum()), "frauds_missed": int((~flagged & (fraud == 1)).sum()),
    }  # fmt: skip


def _rates(counts: dict[str, int]) -> dict[str, float]:
    pairs = {
        "approval_rate": ("approved", "payments"), "decline_rate": ("declined", "payments"),
        "false_positive_rate": ("good_flagged", "good"), "false_negative_rate": ("frauds_missed", "frauds"),
    }  # fmt: skip
    return {name: counts[part] / counts[of] for name, (part, of) in pairs.items() if counts[of]}


def _sum(counts: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in counts) for name in counts[0]} if counts else {}


def _breaches(
    name: str, counts: dict[str, int], rates: dict[str, float], best: dict[str, int] | None,
    whole: dict[str, int], settings: FairnessSettings,
) -> list[Breach]:  # fmt: skip
    found = []
    ratio = rates.get("disparate_impact", 1.0)
    if (
        best is not None and counts["payments"] >= settings.rows_min and ratio < settings.impact_min
        and (p := chance(counts["approved"], counts["payments"], best["approved"], best["payments"]))
        <= settings.chance_max
    ):  # fmt: skip
        found.append(
            Breach(
                name, "Q_DISPARATE_IMPACT", f"{name} passes {ratio:.2f} times as often as the best segment",
                {"disparate_impact": ratio, "limit": settings.impact_min, "chance": p},
            )
        )  # fmt: skip
    for code, hits, of, rate in (
        ("Q_FALSE_POSITIVES", "good_flagged", "good", "false_positive_rate"),
        ("Q_FALSE_NEGATIVES", "frauds_missed", "frauds", "false_negative_rate"),
    ):
        rest, rest_hits = whole[of] - counts[of], whole[hits] - counts[hits]
        if counts[of] < settings.rows_min or rest < settings.rows_min or not rest_hits:
            continue
        times = rates[rate] / (rest_hits / rest)
        p = chance(counts[hits], counts[of], rest_hits, rest)
        if times > settings.error_ratio_max and p <= settings.chance_max:
            found.append(
                Breach(
                    name, code, f"{name}: {rate.replace('_', ' ')} is {times:.2f} times that of the others",
                    {"times": times, "limit": settings.error_ratio_max, "chance": p, rate: rates[rate]},
                )
            )  # fmt: skip
    return found
