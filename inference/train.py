"""Train LightGBM for rare frauds: the rounds are chosen on the embargoed last part, then all labels train.

The settings come from trials on the Fraud Detection Handbook's data. With LightGBM's defaults the model is
worse there than logistic regression: it starts from the mean of very rare frauds and its 255 bins blur the
tail of the amounts. One thread and a seed make equal data give an equal text.
"""

import time
from typing import Any

import lightgbm
import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from features.catalog import DEFINITIONS_HASH, SERVICE
from features.service_meaning import service_meaning
from inference.manifest import GOLDEN_FILE, MODEL_FILE, Golden, Thresholds
from inference.metrics_offline import Judged, summary
from inference.provenance import Provenance
from inference.time_split import Split, split
from inference.train_settings import TrainSettings
from inference.training_set import TrainingSet

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
GOLDEN_ROWS = 64
NEVER = 1.0
LATENCY_ROWS = 1000
LATENCY_REPEATS = 20


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A version's files (without the manifest's own) and what its manifest says."""

    files: dict[str, bytes]
    manifest: dict[str, Any]


def train(data: TrainingSet, settings: TrainSettings, provenance: Provenance, now_ms: int) -> Trained:
    """Return a trained model; figures are those of the validation part, which the judged model never saw.

    Raises:
        ModelError: E_TRAIN_FRAUDS, too few frauds to train on or to judge by.
    """
    parts = split(data.event_ms, data.label_ms, data.fraud, settings.validation_share)
    trial = _fit_until_it_stops(data, parts, settings)
    scores = _predict(trial, data.vectors[parts.validation])
    rounds = max(1, trial.best_iteration)
    booster = _fit(data, np.ones(len(data), np.bool_), settings, rounds)
    text = booster.model_to_string()
    shipped = lightgbm.Booster(model_str=text)
    judged = Judged(
        fraud=data.fraud[parts.validation], score=scores, event_ms=data.event_ms[parts.validation],
        customer=data.customer[parts.validation],
    )  # fmt: skip
    return Trained(
        files={MODEL_FILE: text.encode(), GOLDEN_FILE: _golden(shipped, data, settings.seed)},
        manifest={
            "definitions_hash": DEFINITIONS_HASH,
            "service": SERVICE.name,
            "features": list(SERVICE.columns),
            "feature_hashes": service_meaning().features,
            "thresholds": msgspec.to_builtins(thresholds(judged.fraud, scores, settings)),
            "metrics": summary(judged) | {"predict_latency": _latency(shipped, data.vectors)},
            "parameters": settings.parameters() | {"rounds": rounds},
            "settings": msgspec.to_builtins(settings),
            "seed": settings.seed,
            "data": _about(data, parts),
            "data_hash": data.data_hash,
            **msgspec.to_builtins(provenance),
            "created_ms": now_ms,
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


def _fit_until_it_stops(data: TrainingSet, parts: Split, settings: TrainSettings) -> lightgbm.Booster:
    parameters = settings.parameters()
    known = _dataset(data, parts.train, parameters)
    judge = lightgbm.Dataset(
        data.vectors[parts.validation], data.fraud[parts.validation], reference=known, params=parameters
    )
    stop = lightgbm.early_stopping(settings.rounds_patience, verbose=False)
    return lightgbm.train(parameters, known, settings.rounds_max, valid_sets=[judge], callbacks=[stop])


def _fit(data: TrainingSet, which: Mask, settings: TrainSettings, rounds: int) -> lightgbm.Booster:
    parameters = settings.parameters()
    return lightgbm.train(parameters, _dataset(data, which, parameters), rounds)


def _dataset(data: TrainingSet, which: Mask, parameters: dict[str, Any]) -> lightgbm.Dataset:
    names = list(SERVICE.columns)
    return lightgbm.Dataset(data.vectors[which], data.fraud[which], feature_name=names, params=parameters)


def _predict(booster: lightgbm.Booster, vectors: Floats) -> Floats:
    return np.asarray(booster.predict(vectors, num_threads=1), dtype=np.float64)


def _golden(booster: lightgbm.Booster, data: TrainingSet, seed: int) -> bytes:
    """Rows with known scores, half of them frauds where there are as many."""
    chance = np.random.default_rng(seed)
    rows: list[int] = []
    for outcome in (1, 0):
        of_kind = np.flatnonzero(data.fraud == outcome)
        rows += chance.choice(of_kind, min(GOLDEN_ROWS // 2, len(of_kind)), replace=False).tolist()
    vectors = data.vectors[rows]
    cells = [[None if np.isnan(cell) else cell for cell in row] for row in vectors.tolist()]
    return orjson.dumps(
        msgspec.to_builtins(Golden(vectors=cells, scores=_predict(booster, vectors).tolist()))
    )


def _latency(booster: lightgbm.Booster, vectors: Floats) -> dict[str, float]:
    """Median milliseconds of a prediction on this machine: one row, and a batch."""
    found = {}
    for name, rows in (("one_row_ms", vectors[:1]), (f"{LATENCY_ROWS}_rows_ms", vectors[:LATENCY_ROWS])):
        took = []
        for _ in range(LATENCY_REPEATS):
            began = time.perf_counter()
            booster.predict(rows, num_threads=1)
            took.append((time.perf_counter() - began) * 1000)
        found[name] = round(float(np.median(took)), 4)
    return found


def _about(data: TrainingSet, parts: Split) -> dict[str, Any]:
    return {
        "rows": len(data),
        "frauds": int(data.fraud.sum()),
        "until_ms": data.until_ms,
        "from_event_ms": int(data.event_ms[0]),
        "to_event_ms": int(data.event_ms[-1]),
        "validation_from_ms": parts.begin_ms,
        "validation_train_rows": int(parts.train.sum()),
        "embargo": parts.embargo,
    }
