"""What the learner needs from outside: the registry's words, a trainer, and who watches errors."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.models.manifest import Thresholds
from inference.release.release import Stage


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the champion's training: its moment, and how many labelled events it had."""

    model: str
    until_ms: int
    labels: int


class Models(Protocol):
    """The registry, as far as the learner asks."""

    def thresholds(self, model: str) -> Thresholds | None:
        """Return the thresholds of `name/version`, None when it is not known (any more)."""

    def champion(self) -> Training | None:
        """Return the champion's training, None without a champion that says."""

    def gain(self, model: str) -> float | None:
        """Return by how much a version ranked better than the champion; None when not compared."""

    def promote(self, model: str, at_ms: int, why: str) -> Stage:
        """Take a version a stage on through its gates, and return the stage.

        That is into shadow while another decides; a shadow, or the first model, becomes champion.

        Raises:
            ModelError: E_GATE_REFUSED; whatever else is in the way.
        """

    def in_shadow(self) -> Sequence[str]:
        """Return the versions that the retraining policy lets score in shadow."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a training ended: the candidate's `name/version`, or the code and words of what went wrong."""

    model: str = ""
    code: str = ""
    what: str = ""


class Trainer(Protocol):
    """Trains one candidate at a time, elsewhere."""

    def start(self, until_ms: int) -> None:
        """Begin a training on what was known at a moment."""

    def outcome(self) -> Outcome | None:
        """Return how the training ended, once; None while it runs or when there is none."""


class ErrorWatch(Protocol):
    """Detectors on the stream of errors of one model."""

    def feed_many(self, event_ms: NDArray[np.int64], errors: NDArray[np.float64]) -> Sequence[Any]:
        """Return the drift records that n more errors, in the order they became known, made sure."""

    def restart(self, why: str) -> Any:
        """Begin anew, and return the drift record that says so."""
