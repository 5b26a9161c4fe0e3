"""Splitting labelled events by time: what trains, what tunes, and what judges and was never looked at.

Each part may know only what was known when the next one began: labels come days after their event, and a
model of that day could not have seen more (the embargo of López de Prado, Advances in Financial Machine
Learning, 2018, chapter 7, here set by each label's own time of arrival instead of a fixed gap).

A row is known from the later of its event and its label on. A label dated before its event would else put
the event into the part that trains and into the part that judges.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from features.definition import DAY_MS

POSITIVES_MIN = 20  # fewer in a part and its figures say nothing
WIDER_SHARES = (0.3, 0.4, 0.5)  # tried in turn when validation has too few positives
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Split(NamedTuple):
    """Masks over the rows; `embargo` says whether the label delay lies between the parts.

    `train` and `validation` choose rounds, settings, thresholds and calibration; `known` is all that was
    known when the holdout began and trains the model that the holdout judges. Without enough positives for
    three parts the holdout is empty, and validation is all there is to judge by.
    """

    train: Mask
    validation: Mask
    known: Mask
    holdout: Mask
    begin_ms: int
    holdout_begin_ms: int
    embargo: bool

    @property
    def has_holdout(self) -> bool:
        """Return whether some events were kept from every choice."""
        return bool(self.holdout.any())

    @property
    def judged(self) -> Mask:
        """Return the rows that figures are told of."""
        return self.holdout if self.has_holdout else self.validation


def split(
    event_ms: Ints, label_ms: Ints, positive: Ints, validation_share: float, holdout_share: float
) -> Split:
    """Return the parts: the holdout last, validation before it, training before that.

    Where that leaves too few positives anywhere, there is no holdout and validation is the end; where it is
    still too few, validation begins earlier, up to the middle; where a history is so short that too few
    positives are left to train on, rows merely older than validation train, and the split has no embargo.

    No row is in two parts that must not know of each other, whatever the times of the labels are.

    Args:
        event_ms: shape (n,), ascending.
        label_ms: shape (n,), when each label became known.
        validation_share, holdout_share: shares of the time range, at least a day each.

    Raises:
        ModelError: E_TRAIN_POSITIVES, too few positives on either side.

    >>> day = 86_400_000
    >>> event = np.arange(200) * day
    >>> found = split(event, event + 7 * day, np.ones(200, np.int64), 0.2, 0.2)
    >>> [int(part.sum()) for part in (found.train, found.validation, found.known, found.holdout)]
    [113, 33, 153, 40]
    >>> found.embargo
    True
    """
    span_ms = int(event_ms[-1]) - int(event_ms[0])
    label_ms = known_ms(event_ms, label_ms)
    if holdout_share > 0:
        holdout_begin = int(event_ms[-1]) - max(DAY_MS, int(span_ms * holdout_share))
        begin = holdout_begin - max(DAY_MS, int(span_ms * validation_share))
        found = _parts(event_ms, label_ms, begin, holdout_begin)
        if min(int(positive[part].sum()) for part in found[:4]) >= POSITIVES_MIN:
            return found
    return _without_holdout(event_ms, label_ms, positive, validation_share)


def known_ms(event_ms: Ints, label_ms: Ints) -> Ints:
    """Return when each row, an event with its label, was known: not before it happened.

    >>> known_ms(np.array([5, 5]), np.array([7, 3])).tolist()
    [7, 5]
    """
    return np.maximum(event_ms, label_ms)


def _parts(event_ms: Ints, label_ms: Ints, begin_ms: int, holdout_begin_ms: int) -> Split:
    known = label_ms <= holdout_begin_ms
    return Split(
        train=label_ms <= begin_ms,
        validation=known & (event_ms > begin_ms),
        known=known,
        holdout=event_ms > holdout_begin_ms,
        begin_ms=begin_ms,
        holdout_begin_ms=holdout_begin_ms,
        embargo=True,
    )


def _without_holdout(event_ms: Ints, label_ms: Ints, positive: Ints, validation_share: float) -> Split:
    first, last = int(event_ms[0]), int(event_ms[-1])
    shares = [validation_share, *[share for share in WIDER_SHARES if share > validation_share]]
    begins = [last - max(DAY_MS, int((last - first) * share)) for share in shares]
    none = np.zeros(len(event_ms), np.bool_)
    for embargo in (True, False):
        for begin in begins:
            validation = event_ms > begin
            train = label_ms <= begin if embargo else ~validation
            if min(int(positive[train].sum()), int(positive[validation].sum())) >= POSITIVES_MIN:
                return Split(train, validation, train, none, begin, last, embargo)
    raise ModelError(
        "E_TRAIN_POSITIVES",
        f"{int(positive[~validation].sum())} positives to train on and {int(positive[validation].sum())} to"
        " judge by,"
        f" at least {POSITIVES_MIN} each are needed",
        "labels of the lake", "wait for more labels",
    )  # fmt: skip
