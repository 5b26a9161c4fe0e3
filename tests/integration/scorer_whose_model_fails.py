"""A scorer whose model fails at every batch, as a library that meets what it cannot do."""

import numpy as np
from numpy.typing import NDArray

from headrace.__main__ import cli
from inference.models.model import LightGbmModel


def fails(self: LightGbmModel, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fail."""
    raise RuntimeError(f"no memory for {len(vectors)} rows")


if __name__ == "__main__":
    LightGbmModel.predict = fails  # type: ignore[method-assign]
    cli(["score"])
