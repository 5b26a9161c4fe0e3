"""Every so-maniest row of a partition, in chunks of one size, however the rows were batched."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Chunk(NamedTuple):
    """Sampled rows in log order: values (m, k) and event times (m,)."""

    matrix: Floats
    event_ms: Ints


class Sample:
    """Takes rows in, gives chunks out.

    >>> sample = Sample(every=2, chunk_rows=3)
    >>> which = sample.pick(5)
    >>> which.start, which.step
    (0, 2)
    >>> list(sample.chunks(np.array([[0.0], [2.0], [4.0]]), np.arange(3)))[0].matrix.tolist()
    [[0.0], [2.0], [4.0]]
    >>> sample.pick(4).start, list(sample.chunks(np.array([[6.0]]), np.arange(1)))
    (1, [])
    """

    def __init__(self, every: int, chunk_rows: int) -> None:
        self._every, self._rows = every, chunk_rows
        self._seen = 0
        self._held: list[Chunk] = []
        self._held_rows = 0

    def pick(self, rows: int) -> slice:
        """Return which of the next `rows` rows are sampled."""
        first = -self._seen % self._every
        self._seen += rows
        return slice(first, None, self._every)

    def chunks(self, matrix: Floats, event_ms: Ints) -> list[Chunk]:
        """Take picked rows in, return the chunks that they complete."""
        self._held.append(Chunk(matrix, event_ms))
        self._held_rows += len(matrix)
        if self._held_rows < self._rows:
            return []
        whole = Chunk(
            np.concatenate([part.matrix for part in self._held]),
            np.concatenate([part.event_ms for part in self._held]),
        )
        end = self._held_rows // self._rows * self._rows
        self._held = [Chunk(whole.matrix[end:], whole.event_ms[end:])] if end < len(whole.matrix) else []
        self._held_rows -= end
        return [
            Chunk(whole.matrix[at : at + self._rows], whole.event_ms[at : at + self._rows])
            for at in range(0, end, self._rows)
        ]
