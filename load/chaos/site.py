"""What a fault may use: the stack, armed workers, and how far the load has come; and what it found."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from features.project.running import project_of_process
from headrace.stack import Kind
from headrace.supervisor import LEARNER, Worker
from load.chaos.stack import SERVE, ChaosStack, kinds
from load.oracle.dump import Record

Random = np.random.Generator
Fault = Callable[["Site", Random], bool]

END_WAIT_S = 10.0
READY_WAIT_S = 60.0
POINT_WAIT_S = 12.0
EXAMPLES_MAX = 5
POINTS_OF: dict[str, tuple[Kind, ...]] = {  # which workers reach the points of each room
    "gate": (("gate",),), "scorer": (("score",),), "archive": (("archive",),), "learner": (LEARNER,),
    "serve": (SERVE,),
}  # fmt: skip


def kinds_of(point: str) -> tuple[Kind, ...]:
    """Return the kinds of worker that pass a point; none where the run has no such worker.

    >>> kinds_of("gate.turn"), kinds_of("stage.receive")
    ((('gate',),), (('stream', 'customer'), ('stream', 'terminal')))
    """
    room, running = point.partition(".")[0], kinds()
    if room == "stage":
        return tuple(("stream", link.name) for link in project_of_process().pipeline.chain.links)
    return running if room == "guard" else tuple(kind for kind in POINTS_OF[room] if kind in running)


class Site:
    """What a fault may use: the stack, the folder of armed workers, and what is known of the load.

    Args:
        sent: how many records were sent so far.
        through: how many payments have their prediction or letter so far.
        letters: how many dead letters a subscriber has seen.
        predicted_by: how many predictions a model's version made so far.
        excuse: is told of raw records that were deleted: nobody waits for what becomes of them.
    """

    def __init__(
        self, stack: ChaosStack, armed: Path, sent: Callable[[], int], through: Callable[[], int],
        letters: Callable[[], int], predicted_by: Callable[[str], int],
        excuse: Callable[[list[Record]], None],
    ) -> None:  # fmt: skip
        self.stack, self.armed, self._sent, self.predicted_by = stack, armed, sent, predicted_by
        self.through, self.letters, self.excuse = through, letters, excuse
        self.struck_s, self.first_record = 0.0, 0
        armed.mkdir(exist_ok=True)
        self.rebalances = 0
        self.code_points: dict[str, int] = {}
        self.found: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def strike(self) -> None:
        """Say that a fault strikes now: what is sent from here on may feel it."""
        self.struck_s, self.first_record = time.monotonic(), self._sent()

    def any_of(self, kind: Kind, rng: Random) -> Worker | None:
        """Return a ready worker of a kind, None while there is none."""
        ready = [worker for worker in self.stack.supervisor.of_kind(kind) if self.stack.process_of(worker)]
        return ready[int(rng.integers(len(ready)))] if ready else None

    def arm(self, worker: Worker, order: str, then: Callable[[], object] = lambda: None) -> bool:
        """Have a worker obey an order at a point of its code; return whether it came there in time.

        Args:
            then: done once the worker is armed, to bring it there.
        """
        armed = self.armed / worker.name
        hit = armed.with_name(armed.name + ".hit")
        armed.write_text(order)
        then()
        struck = self.stack.until(hit.exists, POINT_WAIT_S)
        armed.unlink(missing_ok=True)
        struck = struck or hit.exists()  # it may have been reached between the two lines
        self.strike()
        hit.unlink(missing_ok=True)
        return struck

    def count_point(self, point: str) -> None:
        """Count a point of the code that was reached and obeyed."""
        self.code_points[point] = self.code_points.get(point, 0) + 1

    def find(self, name: str, example: str) -> None:
        """Count something that must not be, which the driver saw itself."""
        self.found[name] += 1
        examples = self.examples.setdefault(name, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(example)


class more:  # reads as a statement
    """Run several workers of a kind inside the block; true when all were ready."""

    def __init__(self, kind: Kind, site: Site, count: int) -> None:
        self._kind, self._site, self._count = kind, site, count
        self._added: list[Worker] = []

    def __enter__(self) -> bool:
        stack = self._site.stack
        have = len(stack.supervisor.of_kind(self._kind))
        self._added = [stack.supervisor.add(self._kind) for _ in range(self._count - have)]
        self._site.rebalances += len(self._added)
        return stack.until(lambda: all(map(stack.supervisor.is_ready, self._added)), READY_WAIT_S)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for worker in self._added:
            self._site.stack.supervisor.remove(worker)
            self._site.rebalances += 1


def state_of(pid: int) -> str:
    """Return the kernel's letter for a process: T is stopped."""
    time.sleep(0.05)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
