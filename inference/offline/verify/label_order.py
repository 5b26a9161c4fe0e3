"""The leak tripwire: labels that stand in the log before events which are older than the label.

A label counts at its label_time. When a label precedes an event of the same key that happened before
the label was known, the event's windows hold what nobody knew yet, and a model trained on them looks far
better than it will ever be.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def labels_early(key: NDArray[np.bytes_], pos: Ints, event_ms: Ints, label_ms: Ints) -> int:
    """Return how many labels precede, in their key's log order, an event older than the label.

    Args:
        key: shape (n,), of events and labels alike.
        pos: shape (n,), place in the key's log.
        event_ms: shape (n,), event time of an event, -1 for a label.
        label_ms: shape (n,), label_time of a label, -1 for an event.

    >>> keys = np.array([b"m1", b"m1", b"m1", b"m2"])
    >>> labels_early(keys, np.array([0, 1, 2, 3]), np.array([-1, 50, -1, 1]), np.array([60, -1, 70, -1]))
    1
    """
    if not len(pos):
        return 0
    order = np.lexsort((pos, key))[::-1]
    names = key[order]
    group = np.cumsum(np.append(0, names[1:] != names[:-1]))
    far = int(max(event_ms.max(), label_ms.max())) + 1
    times = np.where(event_ms[order] < 0, far, event_ms[order])
    # One running minimum for all keys: each lies wholly below the one before it.
    oldest_after = np.minimum.accumulate(times - group * (far + 1)) + group * (far + 1)
    return int(((label_ms[order] >= 0) & (oldest_after < label_ms[order])).sum())
