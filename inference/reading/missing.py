"""What may be missing while a decision is taken: a bit each, and the word that a prediction says for it."""

import numpy as np
from numpy.typing import NDArray

from inference.reading.served import Served, Status

STORE_UNAVAILABLE, PROFILE_STALE, STORE_ROW_UNREADABLE, SCORE_FAILED = 1, 2, 4, 8
_WORDS = ("store_unavailable", "profile_stale", "store_row_unreadable", "score_failed")
WORDS: tuple[list[str], ...] = tuple(
    [word for bit, word in enumerate(_WORDS) if code >> bit & 1] for code in range(1 << len(_WORDS))
)


def missing(served: Served, scores: NDArray[np.float64] | None) -> NDArray[np.uint8]:
    """Return each row's bits; `WORDS[bits]` lists them. No model at all is not counted as missing."""
    bits = np.zeros(len(served.unreadable), np.uint8)
    bits |= np.uint8(0 if served.available else STORE_UNAVAILABLE)
    bits[served.profile_status == Status.STALE] |= PROFILE_STALE
    bits[served.unreadable] |= STORE_ROW_UNREADABLE
    if scores is not None:
        bits[np.isnan(scores)] |= SCORE_FAILED
    return bits
