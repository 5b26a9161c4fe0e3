"""The error's own detector: ADWIN over errors of 0 and 1, in the order in which labels became known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.adwin import ADWIN, feed_until_change
from inference.drift import DriftEvent

CLOCK_ROWS = 32
FEATURE = "error"
_NEXT = (
    "train on the newest labels (`headrace train`) and compare with the champion (`headrace models compare`)"
)


class AdwinErrorWatch:
    """Watches one model's errors; the event time of a record is that of the label at which it was sure.

    >>> watch = AdwinErrorWatch("fraud/1")
    >>> times = np.arange(4000)
    >>> found = watch.feed_many(times, (times >= 2000).astype(float))
    >>> found[0].kind, found[0].feature, found[0].at >= 2000
    ('alert', 'error', True)
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._adwin = ADWIN(clock=CLOCK_ROWS)

    def feed_many(self, event_ms: NDArray[np.int64], errors: NDArray[np.float64]) -> Sequence[DriftEvent]:
        """Return the alerts that n more errors made sure."""
        values, found, begin = errors.tolist(), [], 0
        while begin < len(values):
            before, fed = self._adwin.estimation, begin
            at = feed_until_change(self._adwin, values, begin)
            if at is None:
                break
            begin = at + 1
            kept = int(self._adwin.width)
            found.append(
                DriftEvent(
                    kind="alert", detector="adwin", feature=FEATURE, partition=0, model=self._model,
                    what_to_do=_NEXT, at=int(event_ms[at]), since=int(event_ms[max(fed, at + 1 - kept)]),
                    from_mean=float(before), to_mean=float(self._adwin.estimation), n=kept,
                )
            )  # fmt: skip
        return found

    def restart(self, why: str) -> DriftEvent:
        """Begin anew, and return the record that says so."""
        self._adwin = ADWIN(clock=CLOCK_ROWS)
        return DriftEvent(
            kind="restart", detector="adwin", feature=FEATURE, partition=0, model=self._model,
            what_to_do=f"nothing: {why}; a change before now may go unseen",
        )  # fmt: skip


def watch_errors(model: str) -> AdwinErrorWatch:
    """Return the detectors of one model's errors."""
    return AdwinErrorWatch(model)
