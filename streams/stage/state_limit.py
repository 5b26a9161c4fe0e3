"""The bound on a worker's state: it stops by itself, with a code, before the kernel ends it without a word.

Counted are the bytes in use by the partitions that the worker owns or restores, a few times a second and at
no event. A flood of new keys comes to the bound between two batches, so what was folded in since the last
checkpoint is read again by the successor. A restore is estimated while the changelog is read.
"""

import threading
from collections.abc import Callable, Iterable, Mapping

import structlog

from contracts.errors import StateError
from runtime.health import Part
from runtime.memory import memory_free, memory_limit
from streams.stage.core import StageRows

SHARE_PERCENT = (
    30  # of the memory that the process may use; two stages on one machine leave the rest its part
)
NEAR_PERCENT = 80
MIB = 1 << 20

log = structlog.get_logger("streams.stage")


class StateLimit:
    """What the partitions of one worker hold beside what they may; used from any thread.

    Args:
        stage: the stage's name, for what is reported.
        state_mib_max: the bound; 0 for a share of the memory that the process may use.
        part: says in the worker's health that the bound is near.
        free: returns the bytes that the process may still take.
    """

    def __init__(
        self, stage: str, state_mib_max: int, part: Part, free: Callable[[], int] = memory_free
    ) -> None:
        self.most = state_mib_max * MIB or memory_limit() * SHARE_PERCENT // 100
        self._stage, self._part, self._free = stage, part, free
        self._held: dict[int, int] = {}
        self._is_near = False
        self._lock = threading.Lock()

    def look(self, held: Mapping[int, int]) -> int:
        """Take the bytes in use by each owned partition, report when the bound is near; return their sum.

        Raises:
            StateError: E_STATE_LIMIT, the bound is reached.
        """
        used = self._hold(held)
        self._part.moved()
        if used >= self.most:
            raise self._error(f"{len(held)} partitions hold {_mib(used)}", self._stage)
        is_near = used * 100 >= self.most * NEAR_PERCENT
        if is_near:
            self._part.stale(f"state holds {_mib(used)}, the worker stops at {_mib(self.most)}")
        else:
            self._part.fresh()
        if is_near and not self._is_near:
            log.warning("state_near_limit", stage=self._stage, used_bytes=used, limit_bytes=self.most)
        self._is_near = is_near
        return used

    def look_at_restore(
        self, partition: int, rows: StageRows
    ) -> Callable[[Mapping[bytes, bytes], int], None]:
        """Return what looks at a restore while its changelog is read: live entries and bytes read so far.

        It raises StateError (E_STATE_LIMIT) once those entries alone would not fit. It looks at all entries
        whenever a quarter more has been read, which together costs as much as five looks at the last.
        """
        next_look = self.most // 16

        def look(live: Mapping[bytes, bytes], read_bytes: int) -> None:
            nonlocal next_look
            if read_bytes < next_look:
                return
            next_look = read_bytes * 5 // 4
            needed = rows.loaded_bytes(live)
            self._check_restore(partition, needed, f"{len(live):,} entries read so far need {_mib(needed)}")
            if needed > (free := self._free()):
                what = (
                    f"{len(live):,} entries read so far need {_mib(needed)}, {_mib(free)} of memory are free"
                )
                raise self._error(what, self._where(partition))

        return look

    def restored(self, partition: int, used_bytes: int) -> None:
        """Take what a restored partition holds.

        Raises:
            StateError: E_STATE_LIMIT, the bound is reached.
        """
        self._check_restore(partition, used_bytes, f"its state holds {_mib(used_bytes)}")

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that are not the worker's any more."""
        with self._lock:
            for partition in partitions:
                self._held.pop(partition, None)

    def _check_restore(self, partition: int, held: int, what: str) -> None:
        used = self._hold({partition: held})
        if used >= self.most:
            others = f", the other partitions hold {_mib(used - held)}" if used > held else ""
            raise self._error(what + others, self._where(partition))

    def _hold(self, held: Mapping[int, int]) -> int:
        with self._lock:
            self._held.update(held)
            return sum(self._held.values())

    def _where(self, partition: int) -> str:
        return f"restore of {self._stage}/{partition}"

    def _error(self, what: str, where: str) -> StateError:
        return StateError(
            "E_STATE_LIMIT", f"{what}; a worker stops at {_mib(self.most)} of state", where,
            "start more workers of this stage, give them more memory or HEADRACE_STAGE_STATE_MIB_MAX, or"
            " shorten the windows; `headrace code E_STATE_LIMIT`",
        )  # fmt: skip


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"
