"""What one version is worth, in figures: quality, money, segments, robustness, speed, and against others.

All of it is told of events that no choice of the training has seen (the holdout), as JSON-ready values.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.pipeline import SCORED
from features.definition import DAY_MS
from features.project.running import RunningProject
from inference.models.manifest import Thresholds, reached
from inference.offline.training.metrics_offline import (
    Judged,
    average_precision,
    precision_at_keys,
    recall_at_keys,
    roc_auc,
    summary,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Predict = Callable[[Floats], Floats]

RESAMPLES = 200
LATENCY_REPEATS = 200
KEYS_A_DAY = (25, 50, 100, 200, 400)
MISSING_MOST = 5  # of the features that the trees used most, each left out alone
HOURS_LATER, NIGHT_ENDS_HOUR = 3, 6  # a producer that writes local time
QUIET_ROWS = 10  # of a key: with no more it is quiet
SHIFTS = {"amounts_up_10_percent": 1.1, "amounts_down_10_percent": 0.9, "amounts_doubled": 2.0}
DISPARATE_IMPACT_MIN = 0.8  # the four-fifths rule (US EEOC Uniform Guidelines, 1978)


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """The events that judge: vectors (n, f) in the service's order beside what became of them.

    `review_cost_minor` is what a person's look at one event costs, minor units of money; `project` is whose
    events they are.
    """

    project: RunningProject
    vectors: Floats
    judged: Judged
    thresholds: Thresholds
    review_cost_minor: int

    @property
    def money(self) -> Floats | None:
        """What each event is worth, minor units, shape (n,); None where the model is not told of any."""
        name = money_column(self.project)
        return self.column(name) if name else None

    def has(self, *names: str) -> bool:
        """Return whether all of these are columns of the vectors."""
        return set(names) <= set(self.project.service.columns)

    def column(self, name: str) -> Floats:
        """Return one column of the vectors, shape (n,)."""
        return np.asarray(self.vectors[:, self.project.service.columns.index(name)])


def money_column(project: RunningProject) -> str:
    """Return the column of what an event is worth, "" where the project declares none or keeps it apart."""
    return project.money if project.money in project.service.columns else ""


def evaluate(
    data: Evaluated,
    predict: Predict,
    others: Mapping[str, Floats],
    importance: Mapping[str, float],
    seed: int,
) -> dict[str, Any]:
    """Return the whole report.

    Args:
        predict: the model's calibrated scores of vectors (n, f).
        others: scores (n,) of baselines and of the present champion on the same rows, by name.
        importance: gain by feature.
    """
    return {
        "quality": summary(data.judged) | {"baselines": _baselines(data.judged, others)},
        "comparison": {name: difference(data.judged, score, seed) for name, score in others.items()},
        "capacity": capacity(data.judged),
        "money": money(data),
        "segments": segments(data),
        "robustness": robustness(data, predict, _most(importance)),
        "latency": latency(predict, data.vectors),
        "importance": dict(sorted(importance.items(), key=lambda item: -item[1])),
    }


def difference(judged: Judged, other: Floats, seed: int) -> dict[str, Any]:
    """Return how much better the judged scores rank than others on the same rows, with a 95 % interval.

    Whole days are drawn again and again (a block bootstrap, Künsch 1989), since events of a day are alike.
    """
    mine, theirs = (average_precision(judged.positive, score) for score in (judged.score, other))
    day = judged.event_ms // DAY_MS
    rows_of = [np.flatnonzero(day == today) for today in np.unique(day)]
    chance = np.random.default_rng(seed)
    gaps = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([rows_of[i] for i in chance.integers(0, len(rows_of), len(rows_of))])
        positive = judged.positive[rows]
        if positive.any():
            gaps.append(
                average_precision(positive, judged.score[rows]) - average_precision(positive, other[rows])
            )
    low, high = np.quantile(gaps, [0.025, 0.975]).tolist() if gaps else (float("nan"), float("nan"))
    return {
        "average_precision": mine, "other_average_precision": theirs, "gain": mine - theirs,
        "gain_95_percent": [low, high], "days": len(rows_of), "better": bool(low > 0),
    }  # fmt: skip


def capacity(judged: Judged) -> list[dict[str, float]]:
    """Return precision and recall of a team that calls so many keys a day."""
    return [
        {
            "keys_a_day": keys, "precision": precision_at_keys(judged, keys),
            "recall": recall_at_keys(judged, keys),
        }
        for keys in KEYS_A_DAY
    ]  # fmt: skip


def money(data: Evaluated) -> list[dict[str, Any]]:
    """Return, for falling thresholds, what is caught and what it costs; the thresholds in force are marked.

    An event at or above the threshold is looked at by a person, who finds out the truth. Without a measure of
    money there are no figures.
    """
    if data.money is None:
        return []
    score, positive = data.judged.score, data.judged.positive == 1
    shares = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
    lines = [(float(np.quantile(score, 1 - share)), "") for share in shares]
    lines += [(threshold, name) for name, threshold in data.thresholds.items()]
    rows = []
    for threshold, name in sorted(lines, reverse=True):
        above = reached(score, threshold)
        caught = float(data.money[above & positive].sum())
        cost = float(above.sum()) * data.review_cost_minor
        rows.append(
            {
                "threshold": threshold, "name": name, "reviews": int(above.sum()),
                "positives": int((above & positive).sum()), "caught_minor": caught, "cost_minor": cost,
                "saved_minor": caught - cost, "recall": _share(above, positive),
                "precision": _share(positive, above),
            }
        )  # fmt: skip
    return rows


def segments(data: Evaluated) -> list[dict[str, Any]]:
    """Return figures by segment, with each one's disparate impact: its good events' chance to pass.

    The ratio is the share of good events let through, over that of the best-treated group of the kind;
    under 0.8 the four-fifths rule calls it adverse.
    """
    flagged = reached(data.judged.score, min(data.thresholds.values()))
    good = data.judged.positive == 0
    rows: list[dict[str, Any]] = []
    for kind, groups in _groups(data).items():
        passed = {name: _share(~flagged, member & good) for name, member in groups.items() if member.any()}
        best = max(passed.values(), default=float("nan"))
        for name, member in groups.items():
            if member.any():
                ratio = passed[name] / best if best else float("nan")
                rows.append(_segment(data.judged, member, flagged) | {
                    "kind": kind, "name": name, "disparate_impact": ratio,
                    "adverse": bool(ratio < DISPARATE_IMPACT_MIN),
                })  # fmt: skip
    return rows


def robustness(data: Evaluated, predict: Predict, features: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return what becomes of ranking and reviews when inputs are missing or shifted.

    `flagged` is the share of events at or above the review threshold, which a shift can multiply.

    Args:
        features: each of these is left out alone, beside the groups.
    """
    rows = []
    for name, vectors in _changes(data.vectors, features, data.project):
        score = predict(vectors)
        rows.append(
            {
                "change": name, "average_precision": average_precision(data.judged.positive, score),
                "flagged": float(reached(score, min(data.thresholds.values())).mean()),
                "score_moved_mean": float(np.abs(score - data.judged.score).mean()),
                "finite": bool(np.isfinite(score).all()),
            }
        )  # fmt: skip
    return rows


def latency(predict: Predict, vectors: Floats) -> dict[str, dict[str, float]]:
    """Return p50, p95 and p99 milliseconds of a prediction on this machine, for one row and for batches."""
    found = {}
    for rows in (1, 10, 100, 1000):
        some, took = vectors[:rows], []
        for _ in range(LATENCY_REPEATS if rows < 1000 else 20):
            began = time.perf_counter()
            predict(some)
            took.append((time.perf_counter() - began) * 1000)
        p50, p95, p99 = np.percentile(took, [50, 95, 99]).round(4).tolist()
        found[f"{rows}_rows"] = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    return found


def _baselines(judged: Judged, others: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "average_precision": average_precision(judged.positive, score),
            "auc": roc_auc(judged.positive, score),
        }
        for name, score in others.items()
    }  # fmt: skip


def _groups(data: Evaluated) -> dict[str, dict[str, NDArray[np.bool_]]]:
    found: dict[str, dict[str, NDArray[np.bool_]]] = {}
    if data.has("is_night"):
        night = data.column("is_night") == 1
        found["time"] = {"day": ~night, "night": night}
    if data.has("is_weekend"):
        weekend = data.column("is_weekend") == 1
        found["week"] = {"weekday": ~weekend, "weekend": weekend}
    if data.money is not None:
        low, high = np.quantile(data.money, [0.25, 0.75])
        small, large = data.money <= low, data.money >= high
        found["amount"] = {"small": small, "middle": ~small & ~large, "large": large}
    activity = _activity_column(data.project)
    if activity:
        quiet = ~(data.column(activity) > QUIET_ROWS)
        found[data.project.entities[0].name] = {"quiet": quiet, "active": ~quiet}
    return found


def _activity_column(project: RunningProject) -> str:
    """Return the column that counts the first entity's events over the longest time, "" without one."""
    counts = [
        (feature.window.length_ms, feature.name)
        for view in project.entities[0].views
        for feature in view.features
        if feature.aggregation.name == "count" and feature.in_tiles and feature.window and view.rows == SCORED
        if feature.name in project.service.columns
    ]
    return max(counts, default=(0, ""))[1]


def _segment(judged: Judged, member: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> dict[str, float | int]:
    positive = judged.positive == 1
    return {
        "rows": int(member.sum()), "positives": int((member & positive).sum()),
        "flagged": _share(flagged, member),
        "precision": _share(positive, member & flagged), "recall": _share(flagged, member & positive),
        "average_precision": average_precision(judged.positive[member], judged.score[member]),
    }  # fmt: skip


def _most(importance: Mapping[str, float]) -> list[str]:
    used = sorted(importance.items(), key=lambda item: -item[1])
    return [name for name, gain in used[:MISSING_MOST] if gain > 0]


def _changes(
    vectors: Floats, features: Sequence[str], project: RunningProject
) -> Iterator[tuple[str, Floats]]:
    """Yield the vectors as a failure or a slip of a producer would leave them."""
    service = project.service
    at = {name: number for number, name in enumerate(service.columns)}
    for group, columns in service.groups.items():
        yield f"without_{group}", _without(vectors, [at[name] for name in columns])
    for name in features:
        yield f"without_{name}", _without(vectors, [at[name]])
    worth = money_column(project)
    for name, factor in SHIFTS.items() if worth else ():
        yield name, _times(vectors, [at[worth]], factor)
    counts = [at[name] for name in service.columns if "_count_" in name]
    yield "counts_doubled", _times(vectors, counts, 2.0)
    if "hour_of_day" in at:
        yield f"clocks_{HOURS_LATER}_hours_late", _later(vectors, at)


def _later(vectors: Floats, at: Mapping[str, int]) -> Floats:
    later, hour = vectors.copy(), at["hour_of_day"]
    later[:, hour] = (vectors[:, hour] + HOURS_LATER) % 24
    if "is_night" in at:
        later[:, at["is_night"]] = later[:, hour] < NIGHT_ENDS_HOUR
    return later


def _times(vectors: Floats, columns: Sequence[int], factor: float) -> Floats:
    changed = vectors.copy()
    changed[:, columns] *= factor
    return changed


def _without(vectors: Floats, columns: Sequence[int]) -> Floats:
    changed = vectors.copy()
    changed[:, columns] = np.nan
    return changed


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """Return the share of rows of `among` that are in `of`; NaN when there are none."""
    return float(of[among].mean()) if among.any() else float("nan")
