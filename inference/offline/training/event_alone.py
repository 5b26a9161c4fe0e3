"""A model's inputs without its windows: what the event alone says, for the model that windows are to beat."""

import numpy as np
from numpy.typing import NDArray

from features.project.service import Service

EVENT_ALONE = "event_alone"
Floats = NDArray[np.float64]


def columns_of_event(service: Service) -> tuple[str, ...]:
    """Return the inputs that need no stored feature: the event's own, and what is derived of these alone."""
    known = set(service.event)
    return (*service.event, *(one.name for one in service.of_features if set(one.tree.inputs()) <= known))


def of_event_alone(vectors: Floats, service: Service) -> Floats:
    """Return vectors (n, f) in which every other input is null: no tree can split on it."""
    kept = set(columns_of_event(service))
    hidden = [at for at, name in enumerate(service.columns) if name not in kept]
    alone = vectors.copy()
    alone[:, hidden] = np.nan
    return alone
