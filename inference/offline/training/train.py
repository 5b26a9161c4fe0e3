"""Train LightGBM for rare positives: a validation part chooses, a holdout judges, then all labels train.

The settings come from trials on public data with rare positives. With LightGBM's defaults the model is worse
there than logistic regression: it starts from the mean of very rare positives and its 255 bins blur the
tail of the amounts. One thread and a seed make equal data give an equal text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from features.project.decisions import Decisions
from features.service_meaning import service_meaning
from inference.models import calibration
from inference.models.bare_lightgbm import lightgbm
from inference.models.calibration import Calibration
from inference.models.manifest import (
    BASELINE_FILE,
    CALIBRATION_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    NEVER,
    REPORT_FILE,
    REPORT_PAGE_FILE,
    Golden,
    Thresholds,
    digest,
    from_score,
    reached,
)
from inference.models.null_paths import with_null_paths
from inference.models.provenance import Provenance
from inference.offline.training.baselines import LogisticRegression, constant
from inference.offline.training.compare import NOT_COMPARABLE, too_few
from inference.offline.training.evaluation import Evaluated, Predict, difference, evaluate
from inference.offline.training.event_alone import EVENT_ALONE, columns_of_event, of_event_alone
from inference.offline.training.metrics_offline import Judged, average_precision
from inference.offline.training.report_page import page
from inference.offline.training.settings import TrainSettings
from inference.offline.training.time_split import POSITIVES_MIN, Split, known_ms, split
from inference.offline.training.training_set import TrainingSet
from inference.offline.training.usual import usual

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
GOLDEN_ROWS = 64


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A version's files (without the manifest's own) and what its manifest says."""

    files: dict[str, bytes]
    manifest: dict[str, Any]


class Rival(NamedTuple):
    """The present champion, to be compared with.

    `predict` gives its calibrated scores of vectors (n, f); it was trained on what was known by `until_ms`.
    """

    id: str
    predict: Predict
    until_ms: int


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
    champion: Rival | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
    *,
    event_alone: bool = False,
) -> Trained:
    """Return a trained model: choices on validation, figures on the holdout, the shipped trees on all.

    Text, calibration and golden rows are a function of data, settings and code alone; the report has
    latencies in it and is not.

    Args:
        champion: to compare with, on the rows that neither has learnt; the report says how many.
        tell: told how many of the search's trials are done.
        event_alone: compare with the same model that is given what the event alone says, on the same rows.

    Raises:
        ModelError: E_TRAIN_POSITIVES, too few positives to train on or to judge by.
    """
    parts = split(
        data.event_ms, data.label_ms, data.positive, settings.validation_share, settings.holdout_share
    )
    fitted = _choose(data, parts, settings, tell)
    judge = _fit(data, parts.known, fitted)
    report = _report(data, parts, fitted, judge, settings)
    if champion is not None:
        report["comparison"]["champion"] = _against(data, parts, fitted, judge, champion)
    if event_alone:
        report["comparison"][EVENT_ALONE] = _against_event_alone(data, parts, fitted, judge, settings)
    shipped = _fit(data, np.ones(len(data), np.bool_), fitted)
    text = shipped.model_to_string()
    project, service = data.project, data.project.service
    title = f"Evaluation, data {data.data_hash[:8]}, definitions {project.definitions_hash}"
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
            "definitions_hash": project.definitions_hash,
            "service": service.name,
            "features": list(service.columns),
            "categories": {name: list(values) for name, values in service.categories.items()},
            "feature_hashes": service_meaning(project).features,
            "features_never_null": _never_null(data),
            "thresholds": dict(fitted.thresholds),
            "metrics": _headline(report),
            "parameters": fitted.parameters | {"rounds": fitted.rounds},
            "settings": msgspec.to_builtins(settings),
            "seed": settings.seed,
            "data": _about(data, parts),
            "data_hash": data.data_hash,
            **msgspec.to_builtins(provenance),
        },
    )


def thresholds(
    positive: NDArray[np.int64], score: Floats, settings: TrainSettings, decisions: Decisions
) -> Thresholds:
    """Return where each decision begins: those that stop by precision, milder ones within people's capacity.

    Of equal scores all are decided alike.

    >>> from features.project.running import project_at
    >>> decisions = project_at("examples/logins").decisions
    >>> positive, score = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    >>> found = thresholds(positive, score, TrainSettings(review_share=0.34), decisions)
    >>> tuple(found.values())
    (0.3, 0.8)
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # equal scores are decided alike
    above = ends + 1  # how many score at least as high
    precision = np.cumsum(positive[order])[ends] / above
    right = ends[precision >= settings.decline_precision_min]
    declined = int(right[-1]) + 1 if len(right) else 0
    decline = from_score(score[order[declined - 1]]) if declined else NEVER
    capacity = int((len(score) - declined) * settings.review_share)
    within = ends[(above > declined) & (above - declined <= capacity)]
    review = from_score(score[order[within[-1]]]) if len(within) else decline
    severe = next((name for name in decisions.severer if name in decisions.stops), decisions.names[-1])
    begins = decisions.code(severe)
    named = enumerate(decisions.names)
    return Thresholds(
        {name: decline if code >= begins else min(review, decline) for code, name in named if code}
    )


def _choose(
    data: TrainingSet, parts: Split, settings: TrainSettings, tell: Callable[[int, int], None]
) -> Fitted:
    """Try the settings (and, where asked, others near them) on validation, and keep the best ranking."""
    candidates = settings.candidates()
    best: tuple[float, lightgbm.Booster, int, dict[str, Any]] | None = None
    tried = []
    for done, parameters in enumerate(candidates):
        booster, rounds = _fit_until_it_stops(data, parts, parameters, settings)
        score = _predict(booster, data.vectors[parts.validation])
        found = average_precision(data.positive[parts.validation], score)
        tried.append({"parameters": parameters, "rounds": rounds, "average_precision": found})
        if best is None or found > best[0]:
            best = (found, booster, rounds, parameters)
        tell(done + 1, len(candidates))
    assert best is not None, "there is at least one candidate"
    _, booster, rounds, parameters = best
    positive = data.positive[parts.validation]
    raw = _predict(booster, data.vectors[parts.validation])
    line = calibration.fit(positive, raw)
    limits = thresholds(positive, line.apply(raw), settings, data.project.decisions)
    return Fitted(parameters, rounds, line, limits, tried)


def _report(
    data: TrainingSet, parts: Split, fitted: Fitted, judge: lightgbm.Booster, settings: TrainSettings
) -> dict[str, Any]:
    """Judge, on rows that no choice has seen, trees grown from what was known before them."""

    def predict(vectors: Floats) -> Floats:
        return fitted.calibration.apply(_predict(judge, vectors))

    rows = parts.judged
    vectors, positive = data.vectors[rows], data.positive[rows]
    known = data.vectors[parts.known], data.positive[parts.known]
    others = {
        "logistic_regression": LogisticRegression.fit(*known).predict(vectors),
        "constant": constant(known[1], len(positive)),
    }
    judged = Judged(
        positive=positive, score=predict(vectors), event_ms=data.event_ms[rows], key=data.key[rows]
    )
    gain = dict(zip(data.project.service.columns, judge.feature_importance("gain").tolist(), strict=True))
    told = Evaluated(
        project=data.project, vectors=vectors, judged=judged, thresholds=fitted.thresholds,
        review_cost_minor=settings.review_cost_minor,
    )  # fmt: skip
    report = evaluate(told, predict, others, gain, settings.seed)
    report["judged_on"] = "holdout" if parts.has_holdout else "validation: too few positives for a holdout"
    return report | {"tried": fitted.tried}


def _against(
    data: TrainingSet, parts: Split, fitted: Fitted, judge: lightgbm.Booster, champion: Rival
) -> dict[str, Any]:
    """Compare with the champion on the judged rows that neither has learnt, or say that it cannot be."""
    learnt = parts.judged & (known_ms(data.event_ms, data.label_ms) <= champion.until_ms)
    rows = parts.judged & ~learnt
    positive = data.positive[rows]
    about: dict[str, Any] = {
        "against": champion.id, "rows": len(positive), "positives": int(positive.sum()),
        "rows_it_has_learnt": int(learnt.sum()),
    }  # fmt: skip
    if about["positives"] < POSITIVES_MIN:
        return about | {
            "gain": None,
            "code": NOT_COMPARABLE,
            "why": too_few(about["rows"], about["positives"]),
        }
    vectors = data.vectors[rows]
    judged = Judged(
        positive=positive, score=fitted.calibration.apply(_predict(judge, vectors)),
        event_ms=data.event_ms[rows], key=data.key[rows],
    )  # fmt: skip
    return about | difference(judged, champion.predict(vectors), fitted.parameters["seed"])


def _against_event_alone(
    data: TrainingSet, parts: Split, fitted: Fitted, judge: lightgbm.Booster, settings: TrainSettings
) -> dict[str, Any]:
    """Train once more with what the event alone says, on the same split, and judge both on the same rows."""
    service = data.project.service
    alone = msgspec.structs.replace(data, vectors=of_event_alone(data.vectors, service))
    chosen = _choose(alone, parts, settings, lambda done, of: None)
    without = _fit(alone, parts.known, chosen)
    rows = parts.judged
    score = chosen.calibration.apply(_predict(without, alone.vectors[rows]))
    judged = Judged(
        positive=data.positive[rows], score=fitted.calibration.apply(_predict(judge, data.vectors[rows])),
        event_ms=data.event_ms[rows], key=data.key[rows],
    )  # fmt: skip
    found = difference(judged, score, settings.seed)
    return found | {"features": list(columns_of_event(service)), "rounds": chosen.rounds}


def _baseline(data: TrainingSet, parts: Split, fitted: Fitted, judge: lightgbm.Booster) -> bytes:
    """Tell what is usual: inputs, and the scores of rows that were not learnt."""
    score = fitted.calibration.apply(_predict(judge, data.vectors[parts.judged]))
    refused = reached(score, min(fitted.thresholds.values())).astype(np.float64)
    return msgspec.json.encode(usual(data, parts.begin_ms, parts.judged, score, refused))


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
) -> tuple[lightgbm.Booster, int]:
    known = _dataset(data, parts.train, parameters)
    judge = lightgbm.Dataset(
        data.vectors[parts.validation], data.positive[parts.validation], reference=known, params=parameters
    )
    stop = lightgbm.early_stopping(settings.rounds_patience, verbose=False)
    found = lightgbm.train(parameters, known, settings.rounds_max, valid_sets=[judge], callbacks=[stop])
    return _served(found), max(1, found.best_iteration)


def _fit(data: TrainingSet, which: Mask, fitted: Fitted) -> lightgbm.Booster:
    return _served(lightgbm.train(fitted.parameters, _dataset(data, which, fitted.parameters), fitted.rounds))


def _served(grown: lightgbm.Booster) -> lightgbm.Booster:
    """Return the trees as they are served: up to the best round, and with a path for nulls at every split."""
    return lightgbm.Booster(model_str=with_null_paths(grown.model_to_string()))


def _dataset(data: TrainingSet, which: Mask, parameters: dict[str, Any]) -> lightgbm.Dataset:
    service = data.project.service
    names = list(service.columns)
    return lightgbm.Dataset(
        data.vectors[which], data.positive[which], feature_name=names, params=parameters,
        categorical_feature=[names.index(name) for name in service.categories] or "auto",
    )  # fmt: skip


def _predict(booster: lightgbm.Booster, vectors: Floats) -> Floats:
    return np.asarray(booster.predict(vectors, num_threads=1), dtype=np.float64)


def _golden(booster: lightgbm.Booster, data: TrainingSet, seed: int, text_sha256: str) -> bytes:
    """Rows with known scores, half of them positives where there are as many."""
    chance = np.random.default_rng(seed)
    rows: list[int] = []
    for outcome in (1, 0):
        of_kind = np.flatnonzero(data.positive == outcome)
        rows += chance.choice(of_kind, min(GOLDEN_ROWS // 2, len(of_kind)), replace=False).tolist()
    vectors = data.vectors[rows]
    cells = [[None if np.isnan(cell) else cell for cell in row] for row in vectors.tolist()]
    scores = _predict(booster, vectors).tolist()
    return orjson.dumps(msgspec.to_builtins(Golden(vectors=cells, scores=scores, text_sha256=text_sha256)))


def _never_null(data: TrainingSet) -> list[str]:
    """Return the features of which training met no null: at one in service the trees follow the majority."""
    columns = zip(data.project.service.columns, data.vectors.T, strict=True)
    return [name for name, values in columns if not np.isnan(values).any()]


def _about(data: TrainingSet, parts: Split) -> dict[str, Any]:
    return {
        "rows": len(data),
        "positives": int(data.positive.sum()),
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
