"""How the scores that a run served ranked its events, by week of event time; and what windows were worth.

Served scores are those of the lake's predictions, truth is what the lake's labels say. Beside them stands a
model that the product trains on the same labels, known when the first score was served, with every window
feature taken away.
"""

from typing import Any

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from features.project.running import project_of_process
from inference.models.manifest import MODEL_FILE
from inference.models.provenance import Provenance
from inference.offline.lake.lake import Lake
from inference.offline.lake.predictions import KnownLabels, parts
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.event_alone import of_event_alone
from inference.offline.training.metrics_offline import average_precision, roc_auc
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from load.scenarios.plot import Line, draw
from runtime.run import Run

DAY_MS, WEEK_DAYS = 86_400_000, 7
POSITIVES_MIN = 20  # a week with fewer says nothing
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def figures(run: Run) -> dict[str, Any]:
    """Return average precision and AUC of what was served, and of the model without windows, and by week.

    Raises:
        StateError: E_LAKE_EMPTY. ModelError: there are too few labels to train on.
    """
    lake = Lake(run.lake, project_of_process())
    served = _served(lake)
    event_ms, score, positive = served["event_ms"], served["score"], served["positive"]
    from_ms = int(event_ms.min())
    alone_ms, alone, alone_positive = _without_windows(lake, from_ms)
    return {
        "project": lake.project.name, "from_ms": from_ms, "to_ms": int(event_ms.max()),
        "served": len(served["all"]), "judged": len(score), "positive_share": float(positive.mean()),
        "average_precision": average_precision(positive, score), "auc": roc_auc(positive, score),
        "without_windows": {
            "judged": len(alone), "average_precision": average_precision(alone_positive, alone),
            "auc": roc_auc(alone_positive, alone),
        },
        "weeks": {
            "served": _by_week(event_ms, positive, score, from_ms),
            "without_windows": _by_week(alone_ms, alone_positive, alone, from_ms),
            "positive_share": _by_week(event_ms, positive, np.zeros(len(positive)), from_ms),
        },
    }  # fmt: skip


def plotted(found: dict[str, Any]) -> str:
    """Return the plot of figures as SVG."""
    names = {
        "served": "with windows, as served", "without_windows": "without windows",
        "positive_share": "share of positives",
    }  # fmt: skip
    lines = [Line(name, found["weeks"][key], dashed=key == "positive_share") for key, name in names.items()]
    title = f"{found['project']}: average precision of {found['judged']:,} scored events, by week"
    days = (found["to_ms"] - found["from_ms"]) / DAY_MS
    return draw(title, "average precision", lines, [], days, "day of event time since the first served score")


def _served(lake: Lake) -> dict[str, Any]:
    """Return times, scores and outcomes of the events that were scored and judged, by event once."""
    labels = KnownLabels(lake)
    rows = [
        (one["event_time"], one["score"], labels.of(one, -1))
        for part in parts(lake)
        for one in part
        if one.get("score") is not None
    ]
    times, scores, outcomes = (np.array(column) for column in zip(*rows, strict=True))
    judged = outcomes >= 0
    return {
        "all": times, "event_ms": times[judged], "score": scores[judged], "positive": outcomes[judged]
    }  # fmt: skip


def _without_windows(lake: Lake, from_ms: int) -> tuple[Ints, Floats, Ints]:
    """Return times, scores and outcomes of the events from a moment on, by a model of what was known then."""
    known = training_set.build(lake, NoProfileHistory(), from_ms)
    alone = msgspec.structs.replace(known, vectors=of_event_alone(known.vectors, lake.project.service))
    trained = train(alone, TrainSettings(), Provenance.of())
    booster = lightgbm.Booster(model_str=trained.files[MODEL_FILE].decode())
    later = training_set.build(lake, NoProfileHistory(), training_set.newest_ms(lake))
    rows = later.event_ms >= from_ms
    vectors = of_event_alone(later.vectors[rows], lake.project.service)
    scores = np.asarray(booster.predict(vectors, num_threads=1), np.float64)
    return later.event_ms[rows], scores, later.positive[rows]


def _by_week(event_ms: Ints, positive: Ints, score: Floats, from_ms: int) -> list[tuple[float, float]]:
    """Return (middle day, average precision) of each whole week."""
    week = (event_ms - from_ms) // (WEEK_DAYS * DAY_MS)
    found = []
    for number in range(int(week.max()) + 1):
        mine = week == number
        if int(positive[mine].sum()) >= POSITIVES_MIN:
            middle = (number + 0.5) * WEEK_DAYS
            found.append((middle, round(average_precision(positive[mine], score[mine]), 4)))
    return found
