"""A prediction's score, rules and decision from its own recorded vector, and the model that it names."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np

from load.oracle.bits import same
from load.oracle.dump import Declared, ModelText
from load.oracle.expressions import Reading
from load.oracle.release import release_differences

NEVER = 1.0  # a threshold of 1 is reached by no score


class Rules:
    """The declared rules, each condition read by the oracle's own reader of expressions."""

    def __init__(self, declared: Declared, kinds: Mapping[str, str]) -> None:
        known = {**kinds, **dict.fromkeys(numbers(declared), "float")}
        self._rules = [
            (rule.id, declared.decisions.index(rule.severity), Reading(rule.when, known))
            for rule in declared.rules
        ]

    def hits(self, known: Mapping[str, Any]) -> dict[str, bool]:
        """Return which rules hit: those whose condition is true, and not null."""
        return {name: reading.of(known).value is True for name, _, reading in self._rules}

    def severity(self, hits: Mapping[str, bool]) -> int:
        """Return the place among the decisions of the severest that the hits ask for."""
        return max((severity for name, severity, _ in self._rules if hits[name]), default=0)


def numbers(declared: Declared) -> list[str]:
    """Return the vector's columns that rules read as numbers: a category is read as its text."""
    return [name for name in declared.columns if name not in declared.categories]


def limits_of(thresholds: Mapping[str, float], decisions: Sequence[str]) -> list[float]:
    """Return the score from which each decision above the mildest holds: one not named at the next severer's.

    >>> limits_of({"deny": 0.9}, ["allow", "challenge", "deny"])
    [0.9, 0.9]
    """
    found, upper = list[float](), NEVER
    for name in reversed(decisions[1:]):
        upper = thresholds.get(name, upper)
        found.insert(0, upper)
    return found


def decide(
    score: float | None, by_rules: int, declared: Declared, model: ModelText | None
) -> tuple[str, str, str]:
    """Return decision, who decided and the band: the severer of model and rules, a place among the decisions.

    Without a model rules decide alone; with one that gives no score the fallback does, or a rule that asks
    for as much.
    """
    words = declared.decisions
    if model is None:
        return words[by_rules], "rule" if by_rules else "default", "not_assessed"
    if score is None:
        due = words.index(declared.fallback)
        by = "rule" if by_rules >= max(1, due) else "fallback"
        return words[max(due, by_rules)], by, "not_assessed"
    thresholds = model.thresholds if declared.thresholds is None else declared.thresholds
    limits = limits_of(thresholds, words)
    band = sum(score >= line and line < NEVER for line in limits)
    told = "low" if band == 0 else "high" if band == len(limits) else "medium"
    return words[max(band, by_rules)], "rule" if by_rules > band else "model", told


class Scores:
    """Scores of recorded vectors, each by the model its prediction names; asked for all at once."""

    def __init__(self, declared: Declared, models: Mapping[str, ModelText], kinds: Mapping[str, str]) -> None:
        self._declared, self._models = declared, models
        self._rules = Rules(declared, kinds)
        self._boosters: dict[str, lightgbm.Booster] = {}
        self._sha256 = {model.name: sha256 for sha256, model in models.items()}

    def check(
        self, predictions: list[dict[str, Any]], events: Sequence[Mapping[str, Any]]
    ) -> list[list[str]]:
        """Return what is wrong with each prediction's score, rules and decision, for people.

        Args:
            events: the fields of each one's event, as values of their kinds.
        """
        wrong: list[list[str]] = [[] for _ in predictions]
        if not self._models:
            return [self._without_model(one, said) for one, said in zip(predictions, events, strict=True)]
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
                wrong[at] += self._differences(model, prediction, events[at], score)
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

    def _differences(
        self, model: ModelText, prediction: dict[str, Any], event: Mapping[str, Any], score: float
    ) -> list[str]:
        """A score that is no probability is none; where the model gives one, nothing excuses its absence."""
        told, failed = prediction.get("score"), not 0 <= score <= 1
        wrong = [] if same([told], [None if failed else score]) else [f"score {told}, not {score}"]
        return wrong + self._judged(prediction, event, model, None if failed else score)

    def _without_model(self, prediction: dict[str, Any], event: Mapping[str, Any]) -> list[str]:
        wrong = [] if "score" not in prediction else [f"score {prediction['score']} of no model"]
        return wrong + self._judged(prediction, event, None, None)

    def _judged(
        self, prediction: dict[str, Any], event: Mapping[str, Any], model: ModelText | None,
        score: float | None,
    ) -> list[str]:  # fmt: skip
        """Return what is wrong with the rules' answers, and with the decision that is due."""
        v = dict(zip(self._declared.columns, prediction["features"]["values"], strict=True))
        hits = self._rules.hits({**event, **{name: v[name] for name in numbers(self._declared)}})
        answers = {rule["id"]: rule["outcome"] == "hit" for rule in prediction["rules"]}
        wrong = [] if answers == hits else [f"rules {answers}, not {hits}"]
        due = decide(score, self._rules.severity(hits), self._declared, model)
        said = (prediction["decision"], prediction["decided_by"], prediction["risk_band"])
        return wrong if said == due else [*wrong, f"{said}, not {due}"]


def _floats(values: list[float | None]) -> list[float]:
    return [np.nan if value is None else float(value) for value in values]
