"""The leak tripwire: labels that stand in the log before payments which are older than the label.

A label counts at its label_time. When a label precedes a payment of the same terminal that happened before
the label was known, the payment's windows hold what nobody knew yet, and a model trained on them looks far
better than it will ever be.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def labels_early(terminal: NDArray[np.bytes_], pos: Ints, payment_ms: Ints, label_ms: Ints) -> int:
    """Return how many labels precede, in their terminal's log order, a payment older than the label.

    Args:
        terminal: shape (n,), of payments and labels alike.
        pos: shape (n,), place in the terminal's log.
        payment_ms: shape (n,), event time of a payment, -1 for a label.
        label_ms: shape (n,), label_time of a label, -1 for a payment.

    >>> terminals = np.array([b"m1", b"m1", b"m1", b"m2"])
    >>> labels_early(terminals, np.array([0, 1, 2, 3]), np.array([-1, 50, -1, 1]), np.array([60, -1, 70, -1]))
    1
    """
    if not len(pos):
        return 0
    order = np.lexsort((pos, terminal))[::-1]
    names = terminal[order]
    group = np.cumsum(np.append(0, names[1:] != names[:-1]))
    far = int(max(payment_ms.max(), label_ms.max())) + 1
    times = np.where(payment_ms[order] < 0, far, payment_ms[order])
    # One running minimum for all terminals: each lies wholly below the one before it.
    oldest_after = np.minimum.accumulate(times - group * (far + 1)) + group * (far + 1)
    return int(((label_ms[order] >= 0) & (oldest_after < label_ms[order])).sum())
