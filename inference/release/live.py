"""Who scores at this moment: champion, canary and shadows, loaded, as one value that never tears."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.models.manifest import Thresholds
from inference.models.model import LightGbmModel, Model, ModelName

Floats = NDArray[np.float64]


class LiveCanary(NamedTuple):
    """The canary's model, its share of the keys in percent, and since when, epoch ms."""

    model: Model
    share_percent: float
    since_ms: int


class Live(NamedTuple):
    """The models of a batch; without a champion rules decide."""

    champion: Model | None = None
    canary: LiveCanary | None = None
    shadows: tuple[Model, ...] = ()


class ModelSource(Protocol):
    """Where the scorer gets the champion of the next batch."""

    def current(self) -> Model | None:
        """Return the champion, None while there is none."""


@runtime_checkable
class ReleaseSource(Protocol):
    """A source that knows canary and shadows too."""

    def live(self) -> Live:
        """Return the models of the next batch."""


def live_of(source: ModelSource) -> Live:
    """Return the models of the next batch; a source that knows champions only has no others."""
    return source.live() if isinstance(source, ReleaseSource) else Live(source.current())


class Staged:
    """A model under another stage, whatever its kind: the same scores, another name tag."""

    def __init__(self, model: Model, stage: str) -> None:
        self._model = model
        self._identity = model.identity._replace(stage=stage)

    @property
    def identity(self) -> ModelName:
        """Which model it is, and in which stage."""
        return self._identity

    @property
    def thresholds(self) -> Thresholds:
        """From which scores an event is reviewed or declined."""
        return self._model.thresholds

    def predict(self, vectors: Floats) -> Floats:
        """Return the probability of a positive of each row; vectors (n, f), result (n,)."""
        return self._model.predict(vectors)

    def contributions(self, vectors: Floats) -> Floats:
        """Return what each feature adds to the raw score; (n, f + 1), the last is the expected raw score."""
        return self._model.contributions(vectors)


def staged(model: Model, stage: str) -> Model:
    """Return a model under another stage, with all that its kind can do."""
    return model.in_stage(stage) if isinstance(model, LightGbmModel) else Staged(model, stage)


def id_of(model: Model) -> str:
    """Return name/version."""
    return f"{model.identity.name}/{model.identity.version}"
