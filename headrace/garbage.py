"""The garbage collector of a worker: what is there when it is ready stays, and batches are no garbage.

Records, tuples of a checkpoint and events are tracked objects without cycles, thousands at once. At Python's
default of 700 young objects the collector walks them, and then everything that a worker imported, again and
again: a quarter of the gate's time, more than half of a checkpoint's.
"""

import gc

YOUNG_OBJECTS_MAX = 200_000


def rest() -> None:
    """Never look again at what is there now, and seldom at what comes; call it once, when ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
