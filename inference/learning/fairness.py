"""How decisions and their errors fall on declared segments, and when a difference is past its limit.

Rates by segment, over a window of matured events: the share approved; of good events the share flagged (false
positives); of positives the share missed (false negatives). Three comparisons raise an alert: the share
approved over the best-treated segment's (disparate impact), and each error rate over that of all others. An
alert needs enough events and a difference that chance seldom gives: a two-sided test of two proportions,
exact where counts are small. So also a rate against none can be judged, and one event is no evidence.
"""

from collections.abc import Mapping
from math import erfc, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from contracts.frame import Columns
from inference.learning.ledger import UNKNOWN
from inference.learning.settings import FairnessSettings

APPROVE = 0
HITS_MIN = 5  # fewer errors of a segment are no rate
EXPECTED_MIN = 5.0  # of a cell, for the normal test to hold (Cochran 1954)
Mask = NDArray[np.bool_]


class Segment(NamedTuple):
    """One segment's counts and rates; a rate without events is left out."""

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
        rows: n events as `Ledger.judged` returns them.
        words: the texts that the numbers of `channel` and `country` stand for.

    >>> rows = {"decision": np.array([0, 1]), "positive": np.array([0, 0]), "channel": np.array([0, 1]),
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
        enough = [n for n in told if told[n]["events"] >= settings.rows_min]
        best = max(enough, key=lambda name: rates[name]["approval_rate"], default="")
        whole = _sum(list(told.values()))
        for name, counts in told.items():
            if best and rates[best]["approval_rate"]:
                rates[name]["disparate_impact"] = rates[name]["approval_rate"] / rates[best]["approval_rate"]
            found.append(Segment(name, counts, rates[name]))
            breaches += _breaches(name, counts, rates[name], told.get(best), whole, settings)
    return found, breaches


def chance(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """Return how likely two shares differ as much by chance, two-sided.

    Two proportions, pooled; Fisher's exact test where that is an approximation of few.

    >>> chance(50, 100, 50, 100), chance(10, 1000, 100, 1000) < 1e-10
    (1.0, True)
    >>> chance(1, 200, 0, 3000) > 0.05, chance(6, 200, 0, 3000) < 1e-6
    (True, True)
    """
    pooled = (hits + other_hits) / (of + other_of)
    if min(pooled, 1 - pooled) * min(of, other_of) < EXPECTED_MIN:
        table = [[hits, of - hits], [other_hits, other_of - other_hits]]
        return float(fisher_exact(table).pvalue)
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
    decision, positive = rows["decision"][mine], rows["positive"][mine]
    flagged = decision != APPROVE
    return {
        "events": len(decision), "approved": int((~flagged).sum()), "declined": int((decision == 2).sum()),
        "good": int((positive == 0).sum()), "good_flagged": int((flagged & (positive == 0)).sum()),
        "positives": int((positive == 1).sum()), "positives_missed": int((~flagged & (positive == 1)).sum()),
    }  # fmt: skip


def _rates(counts: dict[str, int]) -> dict[str, float]:
    pairs = {
        "approval_rate": ("approved", "events"),
        "decline_rate": ("declined", "events"),
        "false_positive_rate": ("good_flagged", "good"),
        "false_negative_rate": ("positives_missed", "positives"),
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
        best is not None and counts["events"] >= settings.rows_min and ratio < settings.impact_min
        and (p := chance(counts["approved"], counts["events"], best["approved"], best["events"]))
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
        ("Q_FALSE_NEGATIVES", "positives_missed", "positives", "false_negative_rate"),
    ):
        rest, rest_hits = whole[of] - counts[of], whole[hits] - counts[hits]
        if min(counts[of], rest) < settings.rows_min or counts[hits] < HITS_MIN:
            continue
        others = rest_hits / rest
        times = rates[rate] / others if others else inf
        p = chance(counts[hits], counts[of], rest_hits, rest)
        if times > settings.error_ratio_max and p <= settings.chance_max:
            figures = {"limit": settings.error_ratio_max, "chance": p, rate: rates[rate], "others": others}
            figures |= {"times": times} if others else {}  # a record has no number for what is past all
            found.append(Breach(name, code, _past(name, rate, rates[rate], times), figures))
    return found


def _past(name: str, rate: str, value: float, times: float) -> str:
    """Say how far an error rate is past that of the others."""
    if times == inf:
        return f"{name}: {rate.replace('_', ' ')} is {value:.2%}, and 0 of the others"
    return f"{name}: {rate.replace('_', ' ')} is {times:.2f} times that of the others"
