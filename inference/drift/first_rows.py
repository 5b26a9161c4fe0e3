"""The first rows of a stream as a reference, for what the training baseline does not have."""

from collections.abc import Sequence

import numpy as np

from inference.drift.full_windows import Reach
from inference.drift.sample import Chunk, Ints
from inference.drift.settings import DriftSettings


class FirstRows:
    """Gathers rows of some columns until there are enough, over long enough to hold every part of the week.

    Of many rows every second is kept, again and again, so that memory stays small.

    Args:
        columns: where the columns stand in a chunk's matrix.
        reach: how old the stream must be before the columns say something.

    >>> rows = FirstRows([0], Reach(0), DriftSettings(first_rows=4, first_ms=10))
    >>> rows.take(Chunk(np.arange(4.0)[:, None], np.arange(4)), 0) is None
    True
    >>> rows.take(Chunk(np.arange(4.0)[:, None], np.arange(8, 12)), 0).event_ms.tolist()
    [0, 1, 2, 3, 8, 9, 10, 11]
    """

    KEPT_TIMES = 4  # as many as are needed

    def __init__(self, columns: Sequence[int], reach: Reach, settings: DriftSettings) -> None:
        self.columns, self.reach, self._settings = list(columns), reach, settings
        self._kept: list[Chunk] = []
        self._rows, self._every, self._seen = 0, 1, 0

    def take(self, chunk: Chunk, from_ms: int) -> Chunk | None:
        """Take rows from `from_ms` of event time on in; return all that were kept once they are enough."""
        full = chunk.event_ms >= from_ms
        part = Chunk(chunk.matrix[full][:, self.columns], chunk.event_ms[full])
        if len(part.event_ms):
            self._keep(part)
        if self._rows < self._settings.first_rows or self._span_ms() < self._settings.first_ms:
            return None
        return self._whole()

    def _keep(self, part: Chunk) -> None:
        which = slice(-self._seen % self._every, None, self._every)
        self._seen += len(part.event_ms)
        self._kept.append(Chunk(part.matrix[which], part.event_ms[which]))
        self._rows += len(self._kept[-1].event_ms)
        if self._rows > self.KEPT_TIMES * self._settings.first_rows:
            whole = self._whole()
            self._kept = [Chunk(whole.matrix[::2], whole.event_ms[::2])]
            self._rows, self._every = len(self._kept[0].event_ms), 2 * self._every

    def _span_ms(self) -> int:
        times: list[Ints] = [part.event_ms for part in self._kept if len(part.event_ms)]
        return int(max(t.max() for t in times) - min(t.min() for t in times))

    def _whole(self) -> Chunk:
        return Chunk(
            np.concatenate([part.matrix for part in self._kept]),
            np.concatenate([part.event_ms for part in self._kept]),
        )
