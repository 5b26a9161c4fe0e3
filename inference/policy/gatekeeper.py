"""The first tier: events that are clear by a few bounds are decided mildest without asking the model.

`proven` clears only while the live model could not have decided otherwise: the highest score that its trees
give to anything inside the bounds lies below the lowest threshold. `declared` clears as it is told.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import structlog
from numpy.typing import NDArray

from inference.models.manifest import NEVER, Limits
from inference.models.model import Model, ModelName
from inference.models.trees import Box
from inference.policy.policy import GatekeeperTerms

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

log = structlog.get_logger(__name__)


@runtime_checkable
class Bounded(Protocol):
    """A model that knows how high it can score."""

    def ceiling(self, box: Box) -> float:
        """Return a score that no vector in the box exceeds."""


class Gatekeeper:
    """Says which rows are clear.

    >>> from inference.policy.policy import Bound
    >>> terms = GatekeeperTerms(mode="declared", clear={"amount": Bound(at_most=50.0)})
    >>> keeper = Gatekeeper(terms, ("amount", "count"))
    >>> keeper.inside(np.array([[50.0, 1.0], [51.0, 1.0], [np.nan, 1.0]])).tolist()
    [True, False, False]
    """

    def __init__(self, terms: GatekeeperTerms, columns: Sequence[str]) -> None:
        self.mode = terms.mode
        self._at = [list(columns).index(name) for name in terms.clear]
        bounds = list(terms.clear.values())
        self._low = np.array([-np.inf if b.at_least is None else b.at_least for b in bounds])
        self._high = np.array([np.inf if b.at_most is None else b.at_most for b in bounds])
        self._width = len(columns)
        self._proofs: dict[tuple[ModelName, Limits], bool] = {}

    def clears(self, vectors: Floats, suspicious: Mask, model: Model | None, limits: Limits) -> Mask | None:
        """Return the rows that the model need not see; None when it must see all.

        Args:
            vectors: (n, f). suspicious: (n,) rows at which a rule hit; they are never clear.
            model: the one that would score; without one there is nothing to spare.
        """
        if self.mode == "disabled" or model is None:
            return None
        if self.mode == "proven" and not self.proven(model, limits):
            return None
        return self.inside(vectors) & ~suspicious

    def inside(self, vectors: Floats) -> Mask:
        """Tell of each row whether it keeps to every bound; a null keeps to none."""
        values = vectors[:, self._at]
        return np.asarray(((values >= self._low) & (values <= self._high)).all(axis=1))

    def box(self) -> Box:
        """Return where the vectors lie that keep to the bounds."""
        box = Box.anywhere(self._width)
        box.low[self._at], box.high[self._at], box.nullable[self._at] = self._low, self._high, False
        return box

    def proven(self, model: Model, limits: Limits) -> bool:
        """Return whether nothing inside the bounds can reach the lowest threshold of this model."""
        about, lowest = (model.identity, limits), min(limits, default=NEVER)
        if about not in self._proofs:
            highest = model.ceiling(self.box()) if isinstance(model, Bounded) else 1.0
            proven = highest < lowest or lowest >= NEVER
            log.info("gatekeeper_proof", proven=proven, highest=highest, threshold=lowest)
            self._proofs[about] = proven
        return self._proofs[about]
