"""The memory of a worker: what is there when it is ready stays, and what a batch gives back is kept.

Records, tuples of a checkpoint and events are tracked objects without cycles, thousands at once. At Python's
default of 700 young objects the collector walks them, and then everything that a worker imported, again and
again: a quarter of the gate's time, more than half of a checkpoint's.

A batch's arrays are some megabytes, which the C library returns to the kernel with every batch and faults in
with the next, zeroed: half of a stage's time in the kernel.
"""

import ctypes
import gc

YOUNG_OBJECTS_MAX = 200_000
_KEPT_BYTES = 256 << 20  # free memory at the heap's end above this goes back to the kernel
_MAPPED_BYTES = 32 << 20  # larger pieces are mapped each on its own; the most that glibc takes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)


def settle() -> None:
    """Never look for garbage in what is there now, seldom in what comes, and keep freed memory; call it once.

    The second part is for glibc; another C library is left as it is.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
