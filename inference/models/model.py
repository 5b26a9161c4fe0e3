"""A model that scores: the port the scorer knows, and LightGBM behind it."""

import copy
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from features.project.service import NO_SERVICE, Service
from inference.drift.baseline import Baseline
from inference.models.bare_lightgbm import lightgbm
from inference.models.calibration import Calibration
from inference.models.manifest import MODEL_FILE, Manifest, Thresholds
from inference.models.trees import Box, Trees

Floats = NDArray[np.float64]
ROUNDING = 1e-9  # more than the sum of some thousand leaves can be off
HEADER_CHARS = 10_000
_BINARY = re.compile(r"^objective=binary sigmoid:([0-9.]+)$", re.MULTILINE)


class ModelName(NamedTuple):
    """Which model it is; `sha256` is the digest of its text."""

    name: str
    version: str
    stage: str
    sha256: str


class Model(Protocol):
    """What the scorer asks of a model."""

    @property
    def identity(self) -> ModelName:
        """Which model it is."""

    @property
    def thresholds(self) -> Thresholds:
        """From which scores an event is decided how."""

    def predict(self, vectors: Floats) -> Floats:
        """Return the probability of a positive of each row; vectors (n, f), result (n,)."""

    def contributions(self, vectors: Floats) -> Floats:
        """Return what each feature adds to the raw score; (n, f + 1), the last is the expected raw score."""


class LightGbmModel:
    """A champion in this process; made only from a text that was checked and tried elsewhere.

    One thread: at the size of our batches more threads cost tail latency and gain nothing.

    Args:
        columns: where its features stand in the vectors it is given; None when they are its features.
        baseline: what inputs and scores looked like in training; None of versions from before there was one.
        service: what the vectors hold; a category whose list has changed since is given its code of training.
    """

    def __init__(
        self, text: str, manifest: Manifest, stage: str = "champion",
        calibration: Calibration | None = None, columns: Sequence[int] | None = None,
        baseline: Baseline | None = None, service: Service = NO_SERVICE,
    ) -> None:  # fmt: skip
        self._columns = None if columns is None else np.array(columns, np.intp)
        try:
            self._booster = lightgbm.Booster(model_str=text)
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise ModelError("E_MODEL_LOAD", str(error), MODEL_FILE, "promote another version") from error
        self._identity = ModelName(manifest.name, manifest.version, stage, manifest.sha256[MODEL_FILE])
        self._thresholds = Thresholds(manifest.thresholds)
        self._calibration = calibration
        self._trees: Trees | None = None
        sigmoid = _BINARY.search(text[:HEADER_CHARS])
        self._sigmoid = float(sigmoid[1]) if sigmoid else None
        self.baseline = baseline
        self._recoded = _recoded(manifest, service)

    @property
    def identity(self) -> ModelName:
        """Which model it is."""
        return self._identity

    @property
    def thresholds(self) -> Thresholds:
        """From which scores an event is decided how."""
        return self._thresholds

    def predict(self, vectors: Floats) -> Floats:
        """Return the probability of a positive of each row; vectors (n, f), result (n,)."""
        raw = self._run(vectors)
        return raw if self._calibration is None else self._calibration.apply(raw)

    def contributions(self, vectors: Floats) -> Floats:
        """Return exact SHAP values, about half a millisecond a row; (n, f + 1), the last is the base."""
        added = self._run(vectors, pred_contrib=True)
        if self._columns is None:
            return added
        # a feature that it does not know adds nothing
        placed = np.zeros((len(vectors), vectors.shape[1] + 1))
        placed[:, self._columns], placed[:, -1] = added[:, :-1], added[:, -1]
        return placed

    @property
    def trees(self) -> Trees:
        """Its trees; features are numbered as its own, not as the vectors'."""
        if self._trees is None:
            self._trees = Trees(self._booster.dump_model(), self._booster.num_feature())
        return self._trees

    @property
    def columns(self) -> list[int]:
        """Where its features stand in the vectors it is given."""
        return list(range(self._booster.num_feature())) if self._columns is None else self._columns.tolist()

    def ceiling(self, box: Box) -> float:
        """Return a probability that no vector in the box exceeds; 1 where the objective is not understood."""
        if self._sigmoid is None:
            return 1.0
        mine = self.columns
        raw = self.trees.highest(Box(box.low[mine], box.high[mine], box.nullable[mine]))
        probability = np.array([1.0 / (1.0 + np.exp(-self._sigmoid * raw)) + ROUNDING])
        probability = np.minimum(probability, 1.0)
        return float((probability if self._calibration is None else self._calibration.apply(probability))[0])

    def in_stage(self, stage: str) -> "LightGbmModel":
        """Return the same trees under another stage."""
        other = copy.copy(self)
        other._identity = self._identity._replace(stage=stage)
        return other

    def _run(self, vectors: Floats, **what: Any) -> Floats:
        if self._recoded:
            vectors = vectors.copy()
            for column, codes in self._recoded.items():
                vectors[:, column] = codes[np.nan_to_num(vectors[:, column]).astype(np.intp)]
        if self._columns is not None:
            vectors = vectors[:, self._columns]
        return np.asarray(self._booster.predict(vectors, num_threads=1, **what), dtype=np.float64)


def _recoded(manifest: Manifest, service: Service) -> dict[int, Floats]:
    """Return, by column of the vectors, a model's own code of each code there, where the two differ."""
    found = {}
    for name, learnt in manifest.categories.items():
        now = service.categories.get(name, ())
        if name in service.columns and tuple(learnt) != tuple(now):
            own = {value: code for code, value in enumerate(learnt, 1)}
            codes = [0, *(own.get(value, 0) for value in now)]
            found[service.columns.index(name)] = np.array(codes, np.float64)
    return found


def baseline_of(model: Model) -> Baseline | None:
    """Return what a model's inputs and scores looked like in training, None where it does not say."""
    found = getattr(model, "baseline", None)
    return found if isinstance(found, Baseline) else None
