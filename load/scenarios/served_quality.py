"""How a run's events were ranked, by week of event time; and what windows were worth.

Scores are those that were served, of the lake's predictions; where a moment is named, those of the model that
the product trains on what was known then. Truth is what the lake's labels say. Beside them stands the same
model with every window feature taken away.
"""

from typing import Any, NamedTuple

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

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
from inference.offline.training.training_set import TrainingSet
from load.scenarios.plot import Line, draw

DAY_MS, WEEK_DAYS = 86_400_000, 7
POSITIVES_MIN = 20  # a week with fewer says nothing
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Ranked(NamedTuple):
    """Judged events: time in epoch ms, score and outcome (1 or 0), (n,) each."""

    event_ms: Ints
    score: Floats
    positive: Ints


def figures(lake: Lake, from_ms: int | None = None, history: Lake | None = None) -> dict[str, Any]:
    """Return average precision and AUC with windows and without, of all events and by week.

    Args:
        from_ms: events are judged from here, epoch ms, by a model of what was known then; None for
            the scores that were served.
        history: what models learn from, where it is not the lake itself: that of an import.

    Raises:
        StateError: E_LAKE_EMPTY. ModelError: there are too few labels to train on.
    """
    served = _served(lake) if from_ms is None else None
    begin_ms = int(served.event_ms.min()) if served is not None else int(from_ms or 0)
    scored = served if served is not None else _by_model(lake, history, begin_ms, alone=False)
    without = _by_model(lake, history, begin_ms, alone=True)
    share = scored._replace(score=np.zeros(len(scored.score)))
    return {
        "project": lake.project.name, "scores": "served" if served is not None else "of a model trained then",
        "from_ms": begin_ms, "to_ms": int(scored.event_ms.max()), "judged": len(scored.score),
        "positive_share": float(scored.positive.mean()), **_quality(scored),
        "without_windows": _quality(without),
        "weeks": {
            "with_windows": _by_week(scored, begin_ms), "without_windows": _by_week(without, begin_ms),
            "positive_share": _by_week(share, begin_ms),
        },
    }  # fmt: skip


def plotted(found: dict[str, Any]) -> str:
    """Return the plot of figures as SVG."""
    names = {
        "with_windows": "with windows", "without_windows": "without windows",
        "positive_share": "share of positives",
    }  # fmt: skip
    lines = [Line(name, found["weeks"][key], dashed=key == "positive_share") for key, name in names.items()]
    title = f"{found['project']}: average precision of {found['judged']:,} scored events, by week"
    days = (found["to_ms"] - found["from_ms"]) / DAY_MS
    return draw(title, "average precision", lines, [], days, "day of event time since the model was trained")


def _served(lake: Lake) -> Ranked:
    """Return the events that were scored and judged."""
    labels = KnownLabels(lake)
    rows = [
        (one["event_time"], one["score"], labels.of(one, -1))
        for part in parts(lake)
        for one in part
        if one.get("score") is not None
    ]
    found = Ranked(*(np.array(column) for column in zip(*rows, strict=True)))
    judged = found.positive >= 0
    return Ranked(found.event_ms[judged], found.score[judged], found.positive[judged])


def _by_model(lake: Lake, history: Lake | None, from_ms: int, *, alone: bool) -> Ranked:
    """Return the events from a moment on as a model ranks them that was trained on what was known then."""

    def inputs(data: TrainingSet) -> Floats:
        return of_event_alone(data.vectors, lake.project.service) if alone else data.vectors

    known = training_set.build(history or lake, NoProfileHistory(), from_ms)
    trained = train(msgspec.structs.replace(known, vectors=inputs(known)), TrainSettings(), Provenance.of())
    booster = lightgbm.Booster(model_str=trained.files[MODEL_FILE].decode())
    later = training_set.build(lake, NoProfileHistory(), training_set.newest_ms(lake))
    rows = later.event_ms >= from_ms
    scores = np.asarray(booster.predict(inputs(later)[rows], num_threads=1), np.float64)
    return Ranked(later.event_ms[rows], scores, later.positive[rows])


def _quality(scored: Ranked) -> dict[str, float]:
    positive, score = scored.positive, scored.score
    return {"average_precision": average_precision(positive, score), "auc": roc_auc(positive, score)}


def _by_week(scored: Ranked, from_ms: int) -> list[tuple[float, float]]:
    """Return (middle day, average precision) of each week with enough positives."""
    week = (scored.event_ms - from_ms) // (WEEK_DAYS * DAY_MS)
    found = []
    for number in range(int(week.max()) + 1):
        mine = week == number
        positive, score = scored.positive[mine], scored.score[mine]
        if int(positive.sum()) >= POSITIVES_MIN:
            found.append(((number + 0.5) * WEEK_DAYS, round(average_precision(positive, score), 4)))
    return found
