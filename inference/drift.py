"""Watches scores and chosen features for a change of their mean, row by row in log order.

One set of River's ADWIN detectors a partition. ADWIN's guarantee is for values in 0..1, so each watched
value is squeezed there first, and means are told in the feature's own unit again. A value that is NaN or
infinite would blind a detector for good: it is counted and not fed. Detectors live in memory: they start
anew when a partition is taken over, after an aborted transaction and, for the score, when the model
changes, and each start is told on the topic, so that a silence can be read.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.adwin import ADWIN, feed_until_change

Floats = NDArray[np.float64]

CLOCK_ROWS = 128  # how often ADWIN looks for a cut; its own default of 32 finds little more for its cost
_CENTS_MAX = 1e9
_SCORE = "score"


class Watched(NamedTuple):
    """One watched value: into 0..1 and back."""

    feature: str
    squeeze: Callable[[Floats], Floats]
    widen: Callable[[float], float]


def _log_amount(cents: Floats) -> Floats:
    return np.asarray(np.log1p(np.clip(cents, 0, _CENTS_MAX)) / np.log1p(_CENTS_MAX))


WATCHED: tuple[Watched, ...] = (
    Watched(_SCORE, lambda x: np.clip(x, 0, 1), float),
    Watched("amount_minor", _log_amount, lambda y: float(np.expm1(y * np.log1p(_CENTS_MAX)))),
    Watched(
        "customer_count_24h", lambda x: np.asarray(x / (x + 10.0)), lambda y: float(10.0 * y / (1.0 - y))
    ),
    Watched("terminal_fraud_ratio_7d", lambda x: np.clip(x, 0, 1), float),
)


class DriftEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record of the topic `drift`.

    `at` and `since` are event times in epoch ms: of the row at which the change was found, and from which
    on the new mean holds. Means are of `n` rows since then and of the rows before, as the detector saw
    them (for amounts the logarithm's mean, a typical amount).
    """

    kind: Literal["alert", "restart"]
    detector: str
    feature: str
    partition: int
    model: str
    what_to_do: str
    at: int | None = None
    since: int | None = None
    from_mean: float | None = None
    to_mean: float | None = None
    n: int | None = None


class _Detector:
    """ADWIN over one watched value, and the event times of what its window holds."""

    MARKS_MAX = 4096

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._adwin: Any = ADWIN(clock=CLOCK_ROWS)
        self._fed = 0
        self._count, self._total = 0, 0.0  # of the rows since River's window last began
        self._marks: list[tuple[int, int]] = []  # (rows fed, event time) every CLOCK_ROWS rows

    def feed(self, values: list[float], event_ms: list[int]) -> list[dict[str, Any]]:
        """Return a description of each change found; `values` are squeezed and finite."""
        found: list[dict[str, Any]] = []
        begin = 0
        self._mark(len(values), event_ms)
        while (at := feed_until_change(self._adwin, values, begin)) is not None:
            self._count += at + 1 - begin
            self._total += sum(values[begin : at + 1])
            found.append(self._change(at, event_ms[at]))
            self._count, self._total, begin = 0, 0.0, at + 1  # River forgets everything at the next update
        self._count += len(values) - begin
        self._total += sum(values[begin:])
        self._fed += len(values)
        return found

    def _change(self, at: int, at_ms: int) -> dict[str, Any]:
        kept, widen = int(self._adwin.width), self.watched.widen
        before = (self._total - self._adwin.total) / max(1, self._count - kept)
        return {
            "at": at_ms, "since": self._time_of(self._fed + at + 1 - kept), "n": kept,
            "from_mean": widen(_inside(before)), "to_mean": widen(_inside(self._adwin.estimation)),
        }  # fmt: skip

    def _mark(self, rows: int, event_ms: list[int]) -> None:
        """Note the time of each `CLOCK_ROWS`-th row, counted over all batches."""
        first = -self._fed % CLOCK_ROWS
        self._marks += [(self._fed + at, event_ms[at]) for at in range(first, rows, CLOCK_ROWS)]
        if len(self._marks) > self.MARKS_MAX:
            del self._marks[: self.MARKS_MAX // 2]

    def _time_of(self, row: int) -> int:
        at = bisect_right(self._marks, (row, 1 << 62)) - 1
        return self._marks[max(0, at)][1]


def _inside(mean: float) -> float:
    """Return a mean of squeezed values that can be widened: rounding may have put it beyond an end."""
    return min(max(mean, 0.0), 1.0 - 1e-9)


class DriftWatch:
    """The detectors of the partitions that this worker owns.

    >>> watch = DriftWatch(("amount_minor", "customer_count_24h", "terminal_fraud_ratio_7d"))
    >>> [event.kind for event in watch.restart([0], "taken over")][:1]
    ['restart']
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = {w.feature: list(columns).index(w.feature) for w in WATCHED if w.feature != _SCORE}
        self._of: dict[int, list[_Detector]] = {}
        self._model = ""
        self._skipped: dict[str, int] = {}

    def restart(self, partitions: Sequence[int], why: str) -> list[DriftEvent]:
        """Begin anew on these partitions, and say so."""
        for partition in partitions:
            self._of[partition] = [_Detector(watched) for watched in WATCHED]
        return [self._told(partition, "all", why) for partition in partitions]

    def drop(self, partitions: Sequence[int]) -> None:
        """Forget partitions that went to another worker."""
        for partition in partitions:
            self._of.pop(partition, None)

    def model_is(self, model: str) -> list[DriftEvent]:
        """Take note of the model; another one has other scores, so the score's detectors begin anew."""
        if model == self._model:
            return []
        self._model = model
        for detectors in self._of.values():
            detectors[0] = _Detector(WATCHED[0])
        return [self._told(partition, _SCORE, "the model changed") for partition in self._of]

    def feed(
        self, partitions: NDArray[Any], event_ms: NDArray[np.int64], vectors: Floats, scores: Floats | None
    ) -> list[DriftEvent]:
        """Return alerts after n rows in log order; vectors are (n, f), the others (n,)."""
        events: list[DriftEvent] = []
        for partition in np.unique(partitions).tolist():
            which = np.flatnonzero(partitions == partition)
            if partition not in self._of:
                events += self.restart([partition], "first rows of the partition")
            for detector in self._of[partition]:
                values = self._values(detector.watched.feature, vectors, scores)
                if values is not None:
                    events += self._feed(partition, detector, values[which], event_ms[which])
        return events

    def take_skipped(self) -> dict[str, int]:
        """Return how many values were not fed since the last call, by feature: null or not finite."""
        skipped, self._skipped = self._skipped, {}
        return skipped

    def _values(self, feature: str, vectors: Floats, scores: Floats | None) -> Floats | None:
        return scores if feature == _SCORE else vectors[:, self._columns[feature]]

    def _feed(
        self, partition: int, detector: _Detector, values: Floats, event_ms: NDArray[np.int64]
    ) -> list[DriftEvent]:
        finite = np.isfinite(values)
        feature = detector.watched.feature
        self._skipped[feature] = self._skipped.get(feature, 0) + int((~finite).sum())
        squeezed = detector.watched.squeeze(values[finite])
        changes = detector.feed(squeezed.tolist(), event_ms[finite].tolist())
        return [
            DriftEvent(
                kind="alert", detector="adwin", feature=feature, partition=partition, model=self._model,
                what_to_do=f"look at {feature} since then; if the change is real, train on data that has it",
                **change,
            )
            for change in changes
        ]  # fmt: skip

    def _told(self, partition: int, feature: str, why: str) -> DriftEvent:
        return DriftEvent(
            kind="restart", detector="adwin", feature=feature, partition=partition, model=self._model,
            what_to_do=f"nothing: {why}; a change before now may go unseen",
        )  # fmt: skip
