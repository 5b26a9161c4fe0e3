"""A prediction's score, rules and decision from its own recorded vector, and the model that it names."""

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np

from load.oracle.bits import same
from load.oracle.dump import Declared, ModelText
from load.oracle.expressions import Reading
from load.oracle.release import release_differences

KEYS = {"customer": "customer_id", "terminal": "terminal_id"}  # the field of each of a prediction's keys
WORDS = ("approve", "review", "decline")
BANDS = ("low", "medium", "high")
NEVER = 1.0  # a threshold of 1 is reached by no score


class Rules:
    """The declared rules, each condition read by the oracle's own reader of expressions."""

    def __init__(self, declared: Declared) -> None:
        kinds = dict.fromkeys(declared.columns, "float")
        kinds |= {name: kind for name, kind in declared.event_kinds.items() if name not in kinds}
        self._rules = [
            (rule.id, WORDS.index(rule.severity), Reading(rule.when, kinds)) for rule in declared.rules
        ]

    def hits(self, known: Mapping[str, Any]) -> dict[str, bool]:
        """Return which rules hit: those whose condition is true, and not null."""
        return {name: reading.of(known).value is True for name, _, reading in self._rules}

    def severity(self, hits: Mapping[str, bool]) -> int:
        """Return the place among `WORDS` of the severest decision that the hits ask for."""
        return max((severity for name, severity, _ in self._rules if hits[name]), default=0)


def decide(score: float | None, by_rules: int, model: ModelText, fallback: str) -> tuple[str, str, str]:
    """Return decision, who decided and the band: the severer of model and rules, a place among `WORDS`."""
    if score is None:
        due = WORDS.index(fallback)
        by = "rule" if by_rules >= max(1, due) else "fallback"
        return WORDS[max(due, by_rules)], by, "not_assessed"
    band = sum(score >= line and line < NEVER for line in (model.review, model.decline))
    return WORDS[max(band, by_rules)], "rule" if by_rules > band else "model", BANDS[band]


class Scores:
    """Scores of recorded vectors, each by the model its prediction names; asked for all at once."""

    def __init__(self, declared: Declared, models: Mapping[str, ModelText]) -> None:
        self._declared, self._models = declared, models
        self._rules = Rules(declared)
        self._boosters: dict[str, lightgbm.Booster] = {}
        self._sha256 = {model.name: sha256 for sha256, model in models.items()}

    def check(self, predictions: list[dict[str, Any]]) -> list[list[str]]:
        """Return what is wrong with each prediction's score, rules and decision, for people."""
        wrong: list[list[str]] = [[] for _ in predictions]
        by_model: dict[str, list[int]] = {}
        for at, prediction in enumerate(predictions):
            sha256 = (prediction.get("model") or {}).get("sha256", "")
            if sha256 in self._models:
                by_model.setdefault(sha256, []).append(at)
            else:
                wrong[at].append(f"names no model of the run: {sha256!r}")
        for sha256, places in by_model.items():
            model, some = self._models[sha256], [predictions[at] for at in places]
            for at, prediction, score in zip(places, some, self._predict(sha256, some), strict=True):
                wrong[at] += self._differences(model, prediction, score)
        for at, prediction in enumerate(predictions):
            if (
                prediction["shadow"]
                or "experiment" in prediction
                or prediction.get("model", {}).get("stage") != "champion"
            ):
                wrong[at] += release_differences(prediction, self._score)
        return wrong

    def _score(self, name: str, prediction: dict[str, Any]) -> float | None:
        """Return a model's score of a prediction's vector, by name/version; None for one not known."""
        sha256 = self._sha256.get(name)
        return None if sha256 is None else self._predict(sha256, [prediction])[0]

    def _predict(self, sha256: str, some: list[dict[str, Any]]) -> list[float]:
        if sha256 not in self._boosters:
            self._boosters[sha256] = lightgbm.Booster(model_str=self._models[sha256].text)
        vectors = np.array([_floats(one["features"]["values"]) for one in some])
        scores: list[float] = np.asarray(self._boosters[sha256].predict(vectors, num_threads=1)).tolist()
        return scores

    def _differences(self, model: ModelText, prediction: dict[str, Any], score: float) -> list[str]:
        """A score that is no probability is none; where the model gives one, nothing excuses its absence."""
        told, failed = prediction.get("score"), not 0 <= score <= 1
        wrong = [] if same([told], [None if failed else score]) else [f"score {told}, not {score}"]
        v = dict(zip(self._declared.columns, prediction["features"]["values"], strict=True))
        keys = {own: prediction["keys"][entity] for entity, own in KEYS.items()}
        hits = self._rules.hits(prediction | keys | v)
        answers = {rule["id"]: rule["outcome"] == "hit" for rule in prediction["rules"]}
        if answers != hits:
            wrong.append(f"rules {answers}, not {hits}")
        due = decide(None if failed else score, self._rules.severity(hits), model, self._declared.fallback)
        said = (prediction["decision"], prediction["decided_by"], prediction["risk_band"])
        return wrong if said == due else [*wrong, f"{said}, not {due}"]


def _floats(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else float(value) for value in values]
