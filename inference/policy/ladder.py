"""How far down the ladder a decision was taken: what stood in for what was missing, one rung a row.

full          the store answered and the model scored
own_row       the store did not answer for this row: the event's own values, and no profile
last_known    a profile that is older than its limit, or remembered from before the store went away
rules         no model scored: rules decide, or the fallback where a score was due
not_assessed  no model scored and no rule knew enough to answer: the fallback decides
gatekeeper    cleared by the first tier; the model was not asked
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from inference.reading.served import Served, Status

Codes = NDArray[np.uint8]


class Rung(IntEnum):
    """Where a decision stands; the word in a prediction is the name in small letters."""

    FULL = 0
    OWN_ROW = 1
    LAST_KNOWN = 2
    RULES = 3
    NOT_ASSESSED = 4
    GATEKEEPER = 5


RUNG_NAMES = tuple(rung.name.lower() for rung in Rung)


def rungs(
    served: Served, scored: NDArray[np.bool_], answered: NDArray[np.bool_], cleared: NDArray[np.bool_] | None
) -> Codes:
    """Return each row's `Rung`.

    Args:
        scored: (n,) rows with a usable score. answered: (n,) rows that some rule knew enough to judge.
        cleared: (n,) rows that the gatekeeper let through, None when it is off.
    """
    found = np.full(len(scored), Rung.FULL if served.available else Rung.OWN_ROW, np.uint8)
    found[served.unreadable] = Rung.OWN_ROW
    found[served.profile_status == Status.STALE] = Rung.LAST_KNOWN
    found[~scored] = Rung.RULES
    found[~scored & ~answered] = Rung.NOT_ASSESSED
    if cleared is not None:
        found[cleared] = Rung.GATEKEEPER
    return found
