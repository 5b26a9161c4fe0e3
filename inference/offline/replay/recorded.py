"""What predictions recorded of their circumstances, as the scorer's own columns; nothing is decided anew.

Whether the store answered, which groups it confirmed and how old the profile was cannot be told from the
log, so a replay takes them from the record, and gets everything else from elsewhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, strings
from features.project.running import RunningProject
from inference.reading.missing import STORE_ROW_UNREADABLE, STORE_UNAVAILABLE, WORDS
from inference.reading.served import NO_AGE, STATUS_NAMES, Served

Floats = NDArray[np.float64]
Predictions = Sequence[dict[str, Any]]
_UNAVAILABLE, _UNREADABLE = WORDS[STORE_UNAVAILABLE][0], WORDS[STORE_ROW_UNREADABLE][0]


def recorded_fields(project: RunningProject) -> frozenset[str]:
    """Return the fields of the event that a prediction says as they are."""
    time, texts = project.event.time, [f.name for f in project.pipeline.scored.fields if f.column == "text"]
    keys = [name for link in project.pipeline.chain.links for name in link.fields]
    return frozenset({time, *texts} & {time, *keys})


def values_of(predictions: Predictions) -> Floats:
    """Return the vectors as recorded, (n, f); null is NaN."""
    return np.array([_floats(one["features"]["values"]) for one in predictions], np.float64)


def rows_of(predictions: Predictions, project: RunningProject) -> Columns:
    """Return the columns that people's overrides and snoozes look at: the time, and the keys as texts."""
    keys = [project.event.fields_said(one) for one in predictions]
    return {
        **{name: strings([one[name] for one in keys]) for name in (keys[0] if keys else ())},
        project.event.time: np.array([one["event_time"] for one in predictions], np.int64),
    }


def is_available(prediction: dict[str, Any]) -> bool:
    """Return whether the store answered."""
    return _UNAVAILABLE not in prediction["degraded_why"]


def served_of(predictions: Predictions, project: RunningProject) -> Served:
    """Return how the features of predictions were served; all must agree on whether the store answered."""
    count, chain = len(predictions), project.pipeline.chain
    nothing = np.empty((count, 0))
    groups = [one["features"]["groups"] for one in predictions]
    status = {
        name: np.array([_status(group, name) for group in groups], np.uint8)
        for name in (*chain.names, "profile")
    }
    ages = [group.get("profile", {}).get("age_ms") for group in groups]
    return Served(
        (nothing,) * len(chain.links), nothing,
        tuple(status[link.name] for link in chain.links), status["profile"],
        np.array([NO_AGE if age is None else age for age in ages], np.int64),
        np.array([_UNREADABLE in one["degraded_why"] for one in predictions], np.bool_),
        all(map(is_available, predictions)), {},
    )  # fmt: skip


def repeated(served: Served, count: int) -> Served:
    """Return the first row's circumstances for `count` rows."""

    def of_first(column: Any) -> Any:
        if isinstance(column, tuple):
            return tuple(map(of_first, column))
        return np.repeat(column[:1], count, axis=0) if isinstance(column, np.ndarray) else column

    first: dict[str, Any] = {name: of_first(column) for name, column in served._asdict().items()}
    return served._replace(**first)


def _status(groups: dict[str, Any], name: str) -> int:
    return STATUS_NAMES.index(groups.get(name, {}).get("status", "default"))


def _floats(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]
