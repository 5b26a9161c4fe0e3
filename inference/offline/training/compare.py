"""Two versions on the same events: those younger than anything that either of them was trained on."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from contracts.errors import ModelError
from inference.models.model import Model
from inference.offline.training.evaluation import difference
from inference.offline.training.metrics_offline import Judged, summary
from inference.offline.training.time_split import POSITIVES_MIN, known_ms
from inference.offline.training.training_set import TrainingSet

SEED = 20260101
NOT_COMPARABLE = "E_MODEL_COMPARE"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two: its id, its model, and what its training wrote down."""

    id: str
    model: Model
    manifest: Mapping[str, Any]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What both are worth on the same rows, and how sure the difference is.

    `learnt` has, by version, how many of the rows it may have learnt: none unless `from_ms` was named.
    """

    from_ms: int
    rows: int
    positives: int
    versions: dict[str, dict[str, object]]
    gain: dict[str, Any]
    learnt: dict[str, int]


def compare(data: TrainingSet, one: Side, other: Side, from_ms: int | None = None) -> Comparison:
    """Return both versions' figures; `gain` is the first's over the second's.

    Args:
        data: events with known outcomes.
        from_ms: judge events younger than this; by default than both trainings' newest label or event.

    Raises:
        ModelError: E_MODEL_COMPARE, too few positives there to tell.
    """
    begin_ms = from_ms if from_ms is not None else max(_trained_until(side) for side in (one, other))
    rows = data.event_ms > begin_ms
    positives = int(data.positive[rows].sum())
    if positives < POSITIVES_MIN:
        raise ModelError(
            NOT_COMPARABLE, f"{too_few(int(rows.sum()), positives)}, those after {begin_ms}",
            f"{one.id}, {other.id}", "wait for labels of later events, or name an earlier --from",
        )  # fmt: skip
    known = known_ms(data.event_ms, data.label_ms)
    judged = {side.id: _judged(data, rows, side) for side in (one, other)}
    return Comparison(
        from_ms=begin_ms, rows=int(rows.sum()), positives=positives,
        versions={name: summary(found) for name, found in judged.items()},
        gain=difference(judged[one.id], judged[other.id].score, SEED),
        learnt={side.id: int((known[rows] <= _trained_until(side)).sum()) for side in (one, other)},
    )  # fmt: skip


def too_few(rows: int, positives: int) -> str:
    """Return why two versions cannot be compared.

    >>> too_few(120, 3)
    'cannot be compared: 3 positives among 120 labelled events that neither has learnt, 20 are needed'
    """
    return (
        f"cannot be compared: {positives:,} positives among {rows:,} labelled events that neither has learnt,"
        f" {POSITIVES_MIN} are needed"
    )


def _judged(data: TrainingSet, rows: np.ndarray[Any, Any], side: Side) -> Judged:
    return Judged(
        positive=data.positive[rows], score=side.model.predict(data.vectors[rows]),
        event_ms=data.event_ms[rows], key=data.key[rows],
    )  # fmt: skip


def _trained_until(side: Side) -> int:
    about = side.manifest.get("data", {})
    return int(about.get("until_ms", 0))
