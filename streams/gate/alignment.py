"""Rows of several input partitions in step by time, while there is a backlog: which may go, in which order.

Each partition's good rows are held in its own order. What is known to come is waited for: as long as a
partition is behind, rows of others go on only up to the moment it has reached. What goes is cut into slices
of event time (`streams.gate.moments`), so that sources alternate; inside a slice the scored source is first
and labels are last: a label never stands before its moment.

Nothing rests on any of it but quality: whatever order comes out is the truth once it is in the first stage's
input, and what is held is not acknowledged. Nobody is waited for in vain:

- a partition that was read to its end, or nearly, is not waited for;
- one that delivers nothing for `wait_ms` is not, until it delivers again;
- a row that is to be scored is held for `wait_ms` at most;
- when `bytes_max` are held all go; from half of that on, partitions that are ahead are not read (`ahead`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from contracts.frame import Columns, concat, length, take
from contracts.pipeline import SourceStream
from streams.gate.moments import Fineness, Ints, moments_of, slices_of

Place = tuple[str, int]  # topic, without a run's prefix, and partition
NEVER_MS = -(1 << 62)
FOREVER_MS = 1 << 62


class AlignmentBounds(NamedTuple):
    """How long and how much is held, and how finely what goes is cut."""

    wait_ms: float
    bytes_max: int
    behind_records: int  # a partition with fewer records to come counts as read to its end
    slice_ms: int
    run_rows: int  # rows of one source in a slice, on average, for each partition that they go to
    targets: int  # partitions that rows go to


class Piece(NamedTuple):
    """Rows of one partition that go next; `upto` is the position behind them, None when all read is sent."""

    place: Place
    rows: Columns
    upto: int | None


class Released(NamedTuple):
    """What may go now, in order, and why: `aligned`, or nobody is waited for: `end`, `time`, `bytes`."""

    pieces: list[Piece]
    why: str


class _Delivery:
    """Rows read together."""

    def __init__(self, rows: Columns, moments: Ints, read_ms: float) -> None:
        self.rows, self.moments, self.read_ms = rows, moments, read_ms
        self.nbytes = sum(column.nbytes for column in rows.values())

    def head(self, count: int) -> "_Delivery":
        """Split off the first rows."""
        head = _Delivery(take(self.rows, slice(0, count)), self.moments[:count], self.read_ms)
        self.rows, self.moments = take(self.rows, slice(count, None)), self.moments[count:]
        self.nbytes -= head.nbytes
        return head


class _Partition:
    """What is held of one input partition, and what is known of the rest of it."""

    def __init__(self, source: SourceStream) -> None:
        self.source = source
        self.held: deque[_Delivery] = deque()
        self.reached_ms = NEVER_MS  # moment of the newest row read
        self.delivered_ms = NEVER_MS * 1.0  # when it last delivered, by the wall
        self.behind: int | None = None  # records to come; None: not known yet
        self.ended = False
        self.given_up = False

    def take(self, until_ms: int) -> list[_Delivery]:
        """Take the rows off that come before the first one whose moment is later."""
        taken: list[_Delivery] = []
        while self.held:
            over = self.held[0].moments > until_ms
            count = int(np.argmax(over)) if over.any() else len(over)
            if count < len(over):
                return [*taken, self.held[0].head(count)] if count else taken
            taken.append(self.held.popleft())
        return taken


class Alignment:
    """Holds good rows of a gate worker's partitions and lets them go in step.

    >>> from features.project.running import project_at
    >>> sources = project_at("examples/logins").pipeline.sources
    >>> alignment = Alignment((sources[0], sources[1]), AlignmentBounds(1000.0, 1 << 20, 1, 10, 1, 1))
    >>> alignment.assign(("logins", 0)), alignment.assign(("takeovers", 0))
    (None, None)
    >>> rows = {"pos": np.arange(4), "at": np.array([0, 10, 20, 30])}
    >>> alignment.put(("logins", 0), rows, now_ms=0.0)
    >>> alignment.release(now_ms=0.0).pieces  # labels may be about to come
    []
    >>> alignment.put(("takeovers", 0), {"pos": np.arange(2), "known_at": np.array([15, 15])}, now_ms=1.0)
    >>> alignment.ended(("logins", 0)), alignment.ended(("takeovers", 0))
    (None, None)
    >>> [(piece.place[0], piece.rows["pos"].tolist()) for piece in alignment.release(now_ms=1.0).pieces]
    [('logins', [0, 1]), ('takeovers', [0, 1]), ('logins', [2, 3])]
    """

    def __init__(self, sources: Iterable[SourceStream], bounds: AlignmentBounds) -> None:
        self._bounds = bounds
        self._sources = {source.topic: source for source in sources}
        self._partitions: dict[Place, _Partition] = {}
        self.held_bytes = 0
        self._ahead: set[Place] = set()

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is held."""
        return not self.held_bytes

    def assign(self, place: Place) -> None:
        """Begin with a partition, or begin it anew."""
        self.revoke(place)
        self._partitions[place] = _Partition(self._sources[place[0]])

    def revoke(self, place: Place) -> None:
        """Drop what is held of a partition."""
        gone = self._partitions.pop(place, None)
        self.held_bytes -= sum(chunk.nbytes for chunk in gone.held) if gone else 0
        self._ahead.discard(place)

    def put(self, place: Place, rows: Columns, now_ms: float) -> None:
        """Hold rows that a partition delivered, in its order; none of them may have been good."""
        found = self._partitions[place]
        found.delivered_ms, found.given_up, found.ended = now_ms, False, False
        if not length(rows):
            return
        moments = moments_of(rows[self._sources[place[0]].time])
        chunk = _Delivery(rows, moments, now_ms)
        found.held.append(chunk)
        found.reached_ms = int(moments[-1])
        self.held_bytes += chunk.nbytes

    def ended(self, place: Place) -> None:
        """Note that a partition was read to its end (the last stable offset)."""
        if place in self._partitions:
            self._partitions[place].ended = True

    def look(self, behind: Mapping[Place, int | None]) -> None:
        """Note how many records each partition has still to come, as far as that is known."""
        for place, found in self._partitions.items():
            found.behind = behind.get(place)

    def first_held(self, place: Place) -> int | None:
        """Return the position of the first row that is held of a partition."""
        found = self._partitions.get(place)
        return int(found.held[0].rows["pos"][0]) if found and found.held else None

    def ahead_ms(self) -> dict[str, int]:
        """Return by how much event time each topic was read ahead of the partition that is waited for."""
        limit_ms = min((p.reached_ms for p in self._awaited()), default=NEVER_MS)
        ahead: dict[str, int] = {}
        for (topic, _), found in self._partitions.items():
            own_ms = found.reached_ms - limit_ms if NEVER_MS not in (limit_ms, found.reached_ms) else 0
            ahead[topic] = max(ahead.get(topic, 0), own_ms)
        return ahead

    def ahead(self) -> set[Place]:
        """Return the partitions that should not be read for now."""
        half = self._bounds.bytes_max // 2
        if self.held_bytes >= half:
            limit_ms = min((p.reached_ms for p in self._awaited()), default=FOREVER_MS)
            self._ahead |= {q for q, p in self._partitions.items() if p.held and p.reached_ms > limit_ms}
        elif self.held_bytes < half // 2:
            self._ahead.clear()
        return set(self._ahead)

    def release(self, now_ms: float) -> Released:
        """Take what may go."""
        if self.is_idle:
            return Released([], "aligned")
        until, why = self._until(now_ms)
        taken = {}
        for place, found in self._partitions.items():
            if chunks := found.take(until(found)):
                taken[place] = chunks
                self.held_bytes -= sum(chunk.nbytes for chunk in chunks)
        order = sorted(taken, key=self._order)
        return Released(self._pieces([(place, taken[place]) for place in order]), why)

    def _order(self, place: Place) -> tuple[bool, int, Place]:
        """Return by what partitions follow each other inside a slice: by source, labels last."""
        source = self._sources[place[0]]
        return source.is_labels, source.number, place

    def _pieces(self, runs: list[tuple[Place, list[_Delivery]]]) -> list[Piece]:
        """Fineness what was taken of each partition into slices, and put these in order."""
        rows = [concat([chunk.rows for chunk in chunks]) for _, chunks in runs]
        if len(runs) < 2:  # nothing to alternate with
            return [
                Piece(place, own, self.first_held(place)) for (place, _), own in zip(runs, rows, strict=True)
            ]
        bounds, sources = self._bounds, len({place[0] for place, _ in runs})
        cut = Fineness(bounds.slice_ms, bounds.run_rows * sources * bounds.targets)
        cuts = slices_of([np.concatenate([c.moments for c in chunks]) for _, chunks in runs], cut)
        pieces = []
        for number in range(len(cuts[0]) - 1):
            for (place, _), own, at in zip(runs, rows, cuts, strict=True):
                begin, end = int(at[number]), int(at[number + 1])
                if begin < end:
                    more = end < len(own["pos"])
                    upto = int(own["pos"][end]) if more else self.first_held(place)
                    pieces.append(Piece(place, take(own, slice(begin, end)), upto))
        return pieces

    def _until(self, now_ms: float) -> tuple[Callable[[_Partition], int], str]:
        """Return up to which moment rows of a partition may go, and why."""
        if self.held_bytes > self._bounds.bytes_max:
            return lambda _found: FOREVER_MS, "bytes"
        self._give_up(now_ms)
        awaited = sorted(self._awaited(), key=lambda found: found.reached_ms)[:2]
        overdue_ms = self._overdue(now_ms)

        def until(found: _Partition) -> int:
            limit_ms = next((other.reached_ms for other in awaited if other is not found), FOREVER_MS)
            return max(limit_ms, overdue_ms)

        given_up = any(found.given_up for found in self._partitions.values())
        late = given_up or bool(awaited and overdue_ms > awaited[0].reached_ms)
        return until, "time" if late else "aligned" if awaited else "end"

    def _give_up(self, now_ms: float) -> None:
        """Wait no longer for partitions that have delivered nothing for too long."""
        oldest_ms = min(found.held[0].read_ms for found in self._partitions.values() if found.held)
        for found in self._awaited():
            found.given_up = now_ms - max(found.delivered_ms, oldest_ms) >= self._bounds.wait_ms

    def _awaited(self) -> list[_Partition]:
        return [found for found in self._partitions.values() if self._is_awaited(found)]

    def _is_awaited(self, found: _Partition) -> bool:
        if found.ended or found.given_up:
            return False
        return found.behind is None or found.behind >= self._bounds.behind_records

    def _overdue(self, now_ms: float) -> int:
        """Return up to which moment rows must go, because rows to be scored are held for too long."""
        overdue_ms = NEVER_MS
        for found in self._partitions.values():
            for chunk in found.held if found.source.is_scored else ():
                if now_ms - chunk.read_ms < self._bounds.wait_ms:
                    break
                overdue_ms = max(overdue_ms, int(chunk.moments.max()))
        return overdue_ms
