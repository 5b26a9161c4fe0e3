"""One of River's detectors over one value, and what it takes to say what changed: times, rows and means."""

from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.drift.river_detectors import CLOCK_ROWS, DELTA, DETECTORS, THINNED

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EDGE_ROWS = 16  # a mean of fewer says nothing of where it changed


class Change(NamedTuple):
    """A change of the mean; means are of the raw values, to the nearest mark of `CLOCK_ROWS` rows.

    `statistic` and `limit` are the detector's own: of ADWIN how far apart the means of the watched values
    are and the bound of its cut at these sizes (Bifet and Gavaldà 2007, theorem 3.1). `apart` is how far
    those means are apart, of every detector.
    """

    at_ms: int
    since_ms: int
    rows: int
    rows_before: int
    from_mean: float
    to_mean: float
    statistic: float
    limit: float
    apart: float


class _Mark(NamedTuple):
    """Where the values stood: rows fed so far, the next row's time, the sums of watched and raw values."""

    fed: int
    event_ms: int
    total: float
    raw: float


class StreamDetector:
    """A detector of `DETECTORS` over finite values, fed in log order.

    >>> detector = StreamDetector("adwin")
    >>> detector.feed(np.zeros(512), np.arange(512))
    []
    >>> change = detector.feed(np.ones(500), 512 + np.arange(500))[0]
    >>> change.since_ms, change.from_mean, change.to_mean, change.statistic > change.limit
    (512, 0.0, 1.0, True)
    """

    MARKS_MAX = 4096

    def __init__(self, name: str) -> None:
        self.name = name
        self._kind = DETECTORS[name]
        self._every = THINNED.get(name, 1)
        self._detector = self._kind.make()
        self._seen = 0  # before thinning
        self._fed = 0
        self._total = self._raw = self._squares = 0.0
        self._begin = _Mark(0, 0, 0.0, 0.0)  # where the detector last began anew
        self._squares_begin = 0.0
        self._marks: list[_Mark] = []

    def feed(self, values: Floats, event_ms: Ints, raw: Floats | None = None) -> list[Change]:
        """Return the changes found in n more values.

        Args:
            values: (n,), about 0..1, finite: what is watched.
            event_ms: (n,).
            raw: (n,), the same values in the feature's own unit, where `values` are ranks of them.
        """
        raw = values if raw is None else raw
        if self._every > 1:
            which = slice(-self._seen % self._every, None, self._every)
            self._seen += len(values)
            values, event_ms, raw = values[which], event_ms[which], raw[which]
        self._mark(values, event_ms, raw)
        numbers = values.tolist()
        found: list[Change] = []
        begin = 0
        while (at := self._kind.feed(self._detector, numbers, begin)) is not None:
            upto = slice(0, at + 1)
            now = _Mark(
                self._fed + at + 1, int(event_ms[at]),
                self._total + float(values[upto].sum()), self._raw + float(raw[upto].sum()),
            )  # fmt: skip
            squares = self._squares + float(values[upto] @ values[upto])
            found.append(self._change(now, squares))
            self._begin, self._squares_begin, begin = now, squares, at + 1
        self._fed += len(values)
        self._total += float(values.sum())
        self._raw += float(raw.sum())
        self._squares += float(values @ values)
        return found

    def _change(self, now: _Mark, squares: float) -> Change:
        mark = self._likeliest(now)
        before, since = mark.fed - self._begin.fed, now.fed - mark.fed
        reading = self._kind.reading
        apart, bound = self._cut(now, mark, squares)
        statistic, limit = (apart, bound) if reading is None else reading(self._detector)
        return Change(
            at_ms=now.event_ms, since_ms=mark.event_ms, rows=since, rows_before=before,
            from_mean=(mark.raw - self._begin.raw) / max(1, before), to_mean=(now.raw - mark.raw) / since,
            statistic=statistic, limit=limit, apart=apart,
        )  # fmt: skip

    def _likeliest(self, now: _Mark) -> _Mark:
        """Return the mark at which the mean most likely changed, since the detector last began anew.

        Of all marks the one whose two sides' means lie furthest apart for their sizes: the likeliest one
        change of a normal mean (Hinkley 1970). River's ADWIN drops its oldest bucket and then all, so its
        own window says less.
        """
        inside = [m for m in self._marks if self._begin.fed + EDGE_ROWS <= m.fed <= now.fed - EDGE_ROWS]
        if not inside:
            return self._begin
        before = np.array([m.fed for m in inside], np.float64) - self._begin.fed
        since = (now.fed - self._begin.fed) - before
        total = np.array([m.total for m in inside]) - self._begin.total
        apart = total / before - (now.total - self._begin.total - total) / since
        return inside[int(np.argmax(np.abs(apart) * np.sqrt(before * since)))]

    def _cut(self, now: _Mark, mark: _Mark, squares: float) -> tuple[float, float]:
        """Return how far the means around the mark are apart, and ADWIN's bound for that."""
        n0, n1 = max(1, mark.fed - self._begin.fed), max(1, now.fed - mark.fed)
        apart = abs((mark.total - self._begin.total) / n0 - (now.total - mark.total) / n1)
        n = n0 + n1
        mean = (now.total - self._begin.total) / n
        variance = max(0.0, (squares - self._squares_begin) / n - mean * mean)
        inverse, confidence = 1 / n0 + 1 / n1, log(2 * log(n) / DELTA)
        return apart, sqrt(2 * inverse * variance * confidence) + 2 / 3 * inverse * confidence

    def _mark(self, values: Floats, event_ms: Ints, raw: Floats) -> None:
        """Note where each `CLOCK_ROWS`-th row stands, counted over all calls."""
        first = -self._fed % CLOCK_ROWS
        if first < len(values):
            where = np.arange(first, len(values), CLOCK_ROWS)
            totals = self._total + np.concatenate(([0.0], np.cumsum(values)))[where]
            raws = self._raw + np.concatenate(([0.0], np.cumsum(raw)))[where]
            columns = ((self._fed + where).tolist(), event_ms[where].tolist(), totals.tolist(), raws.tolist())
            self._marks += [_Mark(*row) for row in zip(*columns, strict=True)]
        if len(self._marks) > self.MARKS_MAX:
            del self._marks[: self.MARKS_MAX // 2]
