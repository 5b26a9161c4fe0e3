"""A prediction's score, rules and decision from its own recorded vector, and the model that it names."""

from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import numpy as np

from load.oracle.bits import same
from load.oracle.dump import Declared, ModelText
from load.oracle.findings import Findings

WORDS = ("approve", "review", "decline")
BANDS = ("low", "medium", "high")
Vector = Mapping[str, float | None]
Limits = Mapping[str, float]


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _amount_jump(v: Vector, by: Limits) -> bool:
    jumped = _above(v["customer_amount_ratio_30d"], by["amount_times_usual"])
    return jumped and _above(v["amount_minor"], by["amount_usual_minor"])


def _terminal_frauds(v: Vector, by: Limits) -> bool:
    share, labels = v["terminal_fraud_ratio_7d"], v["terminal_labels_7d"]
    if share is None or labels is None:
        return False
    return share >= by["terminal_fraud_ratio_7d"] and labels >= by["terminal_labels_7d"]


RULES: dict[str, Callable[[Vector, Limits], bool]] = {
    "amount_limit": lambda v, by: _above(v["amount_minor"], by["amount_minor"]),
    "customer_velocity": lambda v, by: _above(v["customer_count_1h"], by["payments_1h"]),
    "amount_jump": _amount_jump,
    "terminal_frauds": _terminal_frauds,
}


def decide(score: float | None, hits: int, model: ModelText, fallback: str) -> tuple[str, str, str]:
    """Return decision, who decided and the band: the severer of model and rules; rules ask for review."""
    by_rules = 1 if hits else 0
    if score is None:
        due = WORDS.index(fallback)
        by = "rule" if by_rules >= max(1, due) else "fallback"
        return WORDS[max(due, by_rules)], by, "not_assessed"
    band = (score >= model.review) + (score >= model.decline)
    return WORDS[max(band, by_rules)], "rule" if by_rules > band else "model", BANDS[band]


class Scores:
    """Scores of recorded vectors, each by the model its prediction names; asked for all at once."""

    def __init__(self, declared: Declared, models: Mapping[str, ModelText]) -> None:
        self._declared, self._models = declared, models

    def check(self, predictions: list[dict[str, Any]], found: Findings) -> None:
        """Hold every prediction's score, rules and decision to account."""
        by_model: dict[str, list[dict[str, Any]]] = {}
        for prediction in predictions:
            sha256 = (prediction.get("model") or {}).get("sha256", "")
            if sha256 in self._models:
                by_model.setdefault(sha256, []).append(prediction)
            else:
                found.add(
                    "score_mismatch", f"{prediction['prediction_id']} names no model of the run: {sha256!r}"
                )
        for sha256, some in by_model.items():
            self._check_model(self._models[sha256], some, found)

    def _check_model(self, model: ModelText, some: list[dict[str, Any]], found: Findings) -> None:
        booster = lightgbm.Booster(model_str=model.text)
        vectors = np.array([_floats(one["features"]["values"]) for one in some])
        scores = np.asarray(booster.predict(vectors, num_threads=1)).tolist()
        for prediction, score in zip(some, scores, strict=True):
            for what in self._differences(model, prediction, score):
                found.add("score_mismatch", f"{prediction['prediction_id']}: {what}")

    def _differences(self, model: ModelText, prediction: dict[str, Any], score: float) -> list[str]:
        told = prediction.get("score")
        failed = "score_failed" in prediction["degraded_why"]
        wrong = [] if failed or same([told], [score]) else [f"score {told}, not {score}"]
        v = dict(zip(self._declared.columns, prediction["features"]["values"], strict=True))
        hits = {name: rule(v, self._declared.rules) for name, rule in RULES.items()}
        answers = {rule["id"]: rule["outcome"] == "hit" for rule in prediction["rules"]}
        if answers != hits:
            wrong.append(f"rules {answers}, not {hits}")
        due = decide(None if failed else score, sum(hits.values()), model, self._declared.fallback)
        said = (prediction["decision"], prediction["decided_by"], prediction["risk_band"])
        return wrong if said == due else [*wrong, f"{said}, not {due}"]


def _floats(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else float(value) for value in values]
