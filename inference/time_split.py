"""Splitting labelled payments by time, as if the model had been trained when validation began."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from features.definition import DAY_MS

FRAUDS_MIN = 20  # fewer on either side and the figures say nothing
WIDER_SHARES = (0.3, 0.4, 0.5)  # tried in turn when validation has too few frauds
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Split(NamedTuple):
    """Which rows train and which judge; `embargo` says whether the label delay lies between them."""

    train: Mask
    validation: Mask
    begin_ms: int
    embargo: bool


def split(event_ms: Ints, label_ms: Ints, fraud: Ints, validation_share: float) -> Split:
    """Return the last part of the time range as validation, the rows known before it as training.

    A row trains only if its label was known when validation begins: a model of that day could not have
    seen more. Where that leaves too few frauds to judge by, validation begins earlier, up to the middle;
    where a history is so short that too few are left to train on, rows merely older than validation train,
    and the split says that it has no embargo.

    Args:
        event_ms: shape (n,), ascending.
        validation_share: share of the time range, at least a day of it; the least that is tried.

    Raises:
        ModelError: E_TRAIN_FRAUDS, too few frauds on either side.

    >>> day = 86_400_000
    >>> event = np.arange(100) * day
    >>> found = split(event, event + 7 * day, np.ones(100, np.int64), 0.3)
    >>> int(found.train.sum()), int(found.validation.sum()), found.embargo
    (63, 30, True)
    """
    first, last = int(event_ms[0]), int(event_ms[-1])
    shares = [validation_share, *[share for share in WIDER_SHARES if share > validation_share]]
    begins = [last - max(DAY_MS, int((last - first) * share)) for share in shares]
    for embargo in (True, False):
        for begin in begins:
            validation = event_ms > begin
            train = label_ms <= begin if embargo else ~validation
            if min(int(fraud[train].sum()), int(fraud[validation].sum())) >= FRAUDS_MIN:
                return Split(train, validation, begin, embargo)
    raise ModelError(
        "E_TRAIN_FRAUDS",
        f"{int(fraud[~validation].sum())} frauds to train on and {int(fraud[validation].sum())} to judge by,"
        f" at least {FRAUDS_MIN} each are needed",
        "labels of the lake", "wait for more labels",
    )  # fmt: skip
