"""Train LightGBM for rare frauds: choices on a validation part, figures on a holdout, then all labels train.

The settings come from trials on the Fraud Detection Handbook's data. With LightGBM's defaults the model is
worse there than logistic regression: it starts from the mean of very rare frauds and its 255 bins blur the
tail of the amounts. One thread and a seed make equal data give an equal text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from features.catalog import DEFINITIONS_HASH, SERVICE
from features.service_meaning import service_meaning
from inference.drift import baseline
from inference.drift.partition_watch import NULL_SHARE, REFUSED, SCORE
from inference.drift.season import CALENDAR
from inference.models import calibration
from inference.models.bare_lightgbm import lightgbm
from inference.models.calibration import Calibration
from inference.models.manifest import (
    BASELINE_FILE,
    CALIBRATION_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    REPORT_FILE,
    REPORT_PAGE_FILE,
    Golden,
    Thresholds,
    digest,
)
from inference.models.provenance import Provenance
from inference.training.baselines import LogisticRegression, constant
from inference.training.evaluation import Evaluated, Predict, evaluate
from inference.training.metrics_offline import Judged, average_precision
from inference.training.report_page import page
from inference.training.settings import TrainSettings
from inference.training.time_split import Split, split
from inference.training.training_set import TrainingSet

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
GOLDEN_ROWS = 64
NEVER = 1.0


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A version's files (without the manifest's own) and what its manifest says."""

    files: dict[str, bytes]
    manifest: dict[str, Any]


class Fitted(NamedTuple):
    """What the choices came to, all of them made on the validation part."""

    parameters: dict[str, Any]
    rounds: int
    calibration: Calibration
    thresholds: Thresholds
    tried: list[dict[str, Any]]


def train(
    data: TrainingSet,
    settings: TrainSettings,
    provenance: Provenance,
    champion: Predict | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
    champion_until_ms: int = 0,
) -> Trained:
    """Return a trained model: choices on validation, figures on the holdout, the shipped trees on all.

    Text, calibration and golden rows are a function of data, settings and code alone; the report has
    latencies in it and is not.

    Args:
        champion: the present champion's calibrated scores of vectors (n, f), to compare with.
        tell: told how many of the search's trials are done.
        champion_until_ms: the champion was trained on labels known by then, so judged payments of before may
            flatter it; the report says how many they are.

    Raises:
        ModelError: E_TRAIN_FRAUDS, too few frauds to train on or to judge by.
    """
    parts = split(data.event_ms, data.label_ms, data.fraud, settings.validation_share, settings.holdout_share)
    fitted = _choose(data, parts, settings, tell)
    judge = _fit(data, parts.known, fitted)
    report = _report(data, parts, fitted, judge, settings, champion)
    if champion is not None:
        learnt = data.label_ms[parts.judged] <= champion_until_ms
        report["comparison"]["champion"]["learnt_share"] = float(learnt.mean())
    text = _fit(data, np.ones(len(data), np.bool_), fitted).model_to_string()
    shipped = lightgbm.Booster(model_str=text)
    title = f"Evaluation, data {data.data_hash[:8]}, definitions {DEFINITIONS_HASH}"
    return Trained(
        files={
            MODEL_FILE: text.encode(),
            CALIBRATION_FILE: msgspec.json.encode(fitted.calibration),
            BASELINE_FILE: _baseline(data, parts, fitted, judge),
            GOLDEN_FILE: _golden(shipped, data, settings.seed, digest(text.encode())),
            REPORT_FILE: orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY),
            REPORT_PAGE_FILE: page(title, report).encode(),
        },
        manifest={
            "definitions_hash": DEFINITIONS_HASH,
            "service": SERVICE.name,
            "features": list(SERVICE.columns),
            "feature_hashes": service_meaning().features,
            "thresholds": msgspec.to_builtins(fitted.thresholds),
            "metrics": _headline(report),
            "parameters": fitted.parameters | {"rounds": fitted.rounds},
            "settings": msgspec.to_builtins(settings),
            "seed": settings.seed,
            "data": _about(data, parts),
            "data_hash": data.data_hash,
            **msgspec.to_builtins(provenance),
        },
    )


def thresholds(fraud: NDArray[np.int64], score: Floats, settings: TrainSettings) -> Thresholds:
    """Return where review and decline begin.

    >>> fraud, score = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    >>> found = thresholds(fraud, score, TrainSettings(review_share=0.34))
    >>> found.review, found.decline
    (0.3, 0.8)
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # equal scores are decided alike
    precision = np.cumsum(fraud[order])[ends] / (ends + 1.0)
    right = ends[precision >= settings.decline_precision_min]
    declined = int(right[-1]) + 1 if len(right) else 0
    decline = float(score[order[declined - 1]]) if declined else NEVER
    capacity = int((len(score) - declined) * settings.review_share)
    review = float(score[order[declined + capacity - 1]]) if capacity else decline
    return Thresholds(review=min(review, decline), decline=decline)


def _choose(
    data: TrainingSet, parts: Split, settings: TrainSettings, tell: Callable[[int, int], None]
) -> Fitted:
    """Try the settings (and, where asked, others near them) on validation, and keep the best ranking."""
    candidates = settings.candidates()
    best: tuple[float, lightgbm.Booster, dict[str, Any]] | None = None
    tried = []
    for done, parameters in enumerate(candidates):
        booster = _fit_until_it_stops(data, parts, parameters, settings)
        score = _predict(booster, data.vectors[parts.validation])
        found = average_precision(data.fraud[parts.validation], score)
        tried.append({"parameters": parameters, "rounds": booster.best_iteration, "average_precision": found})
        if best is None or found > best[0]:
            best = (found, booster, parameters)
        tell(done + 1, len(candidates))
    assert best is not None, "there is at least one candidate"
    _, booster, parameters = best
    fraud = data.fraud[parts.validation]
    raw = _predict(booster, data.vectors[parts.validation])
    line = calibration.fit(fraud, raw)
    limits = thresholds(fraud, line.apply(raw), settings)
    return Fitted(parameters, max(1, booster.best_iteration), line, limits, tried)


def _report(
    data: TrainingSet, parts: Split, fitted: Fitted, judge: lightgbm.Booster, settings: TrainSettings,
    champion: Predict | None,
) -> dict[str, Any]:  # fmt: skip
    """Judge, on rows that no choice has seen, trees grown from what was known before them."""

    def predict(vectors: Floats) -> Floats:
        return fitted.calibration.apply(_predict(judge, vectors))

    rows = parts.judged
    vectors, fraud = data.vectors[rows], data.fraud[rows]
    known = data.vectors[parts.known], data.fraud[parts.known]
    others = {
        "logistic_regression": LogisticRegression.fit(*known).predict(vectors),
        "constant": constant(known[1], len(fraud)),
    }
    if champion is not None:
        others["champion"] = champion(vectors)
    judged = Judged(
        fraud=fraud, score=predict(vectors), event_ms=data.event_ms[rows], customer=data.customer[rows]
    )
    gain = dict(zip(SERVICE.columns, judge.feature_importance("gain").tolist(), strict=True))
    told = Evaluated(
        vectors=vectors, judged=judged, thresholds=fitted.thresholds,
        review_cost_minor=settings.review_cost_minor,
    )  # fmt: skip
    report = evaluate(told, predict, others, gain, settings.seed)
    report["judged_on"] = "holdout" if parts.has_holdout else "validation: too few frauds for a holdout"
    return report | {"tried": fitted.tried}


def _baseline(data: TrainingSet, parts: Split, fitted: Fitted, judge: lightgbm.Booster) -> bytes:
    """Tell what is usual: inputs of validation and holdout, the newest; scores of rows that were not learnt.

    The beginning of a history is left out, where windows of thirty days are not full yet.
    """
    newest, judged = data.event_ms > parts.begin_ms, parts.judged
    names = [name for name in SERVICE.columns if name not in CALENDAR]
    vectors = data.vectors[:, [SERVICE.columns.index(name) for name in names]]
    null = ~np.isfinite(vectors[newest])
    inputs = baseline.measure(names, vectors[newest], data.event_ms[newest], {NULL_SHARE: null.mean(axis=1)})
    score = fitted.calibration.apply(_predict(judge, data.vectors[judged]))
    refused = (score >= fitted.thresholds.review).astype(np.float64)
    scores = baseline.measure([SCORE], score[:, None], data.event_ms[judged], {REFUSED: refused})
    return msgspec.json.encode(baseline.with_columns(inputs, scores))


def _headline(report: dict[str, Any]) -> dict[str, Any]:
    """Return what lists and gates read of a report."""
    quality = report["quality"]
    return {name: value for name, value in quality.items() if name != "reliability"} | {
        "judged_on": report["judged_on"],
        "comparison": report["comparison"],
        "adverse_segments": [f"{s['kind']}/{s['name']}" for s in report["segments"] if s["adverse"]],
    }


def _fit_until_it_stops(
    data: TrainingSet, parts: Split, parameters: dict[str, Any], settings: TrainSettings
) -> lightgbm.Booster:
    known = _dataset(data, parts.train, parameters)
    judge = lightgbm.Dataset(
        data.vectors[parts.validation], data.fraud[parts.validation], reference=known, params=parameters
    )
    stop = lightgbm.early_stopping(settings.rounds_patience, verbose=False)
    return lightgbm.train(parameters, known, settings.rounds_max, valid_sets=[judge], callbacks=[stop])


def _fit(data: TrainingSet, which: Mask, fitted: Fitted) -> lightgbm.Booster:
    return lightgbm.train(fitted.parameters, _dataset(data, which, fitted.parameters), fitted.rounds)


def _dataset(data: TrainingSet, which: Mask, parameters: dict[str, Any]) -> lightgbm.Dataset:
    names = list(SERVICE.columns)
    return lightgbm.Dataset(data.vectors[which], data.fraud[which], feature_name=names, params=parameters)


def _predict(booster: lightgbm.Booster, vectors: Floats) -> Floats:
    return np.asarray(booster.predict(vectors, num_threads=1), dtype=np.float64)


def _golden(booster: lightgbm.Booster, data: TrainingSet, seed: int, text_sha256: str) -> bytes:
    """Rows with known scores, half of them frauds where there are as many."""
    chance = np.random.default_rng(seed)
    rows: list[int] = []
    for outcome in (1, 0):
        of_kind = np.flatnonzero(data.fraud == outcome)
        rows += chance.choice(of_kind, min(GOLDEN_ROWS // 2, len(of_kind)), replace=False).tolist()
    vectors = data.vectors[rows]
    cells = [[None if np.isnan(cell) else cell for cell in row] for row in vectors.tolist()]
    scores = _predict(booster, vectors).tolist()
    return orjson.dumps(msgspec.to_builtins(Golden(vectors=cells, scores=scores, text_sha256=text_sha256)))


def _about(data: TrainingSet, parts: Split) -> dict[str, Any]:
    return {
        "rows": len(data),
        "frauds": int(data.fraud.sum()),
        "until_ms": data.until_ms,
        "from_event_ms": int(data.event_ms[0]),
        "to_event_ms": int(data.event_ms[-1]),
        "validation_from_ms": parts.begin_ms,
        "validation_rows": int(parts.validation.sum()),
        "validation_train_rows": int(parts.train.sum()),
        "holdout_from_ms": parts.holdout_begin_ms,
        "holdout_rows": int(parts.holdout.sum()),
        "embargo": parts.embargo,
    }
