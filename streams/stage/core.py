"""One input partition of one stage, as a function of its input log: no Kafka, Faust, Redis or clock in it.

Everything it makes (outputs, store rows, state) is decided by the records it is given and the marker it
started from, so a successor that replays from the marker makes the same bits, and whatever a predecessor
had already sent falls away in the readers' lanes. A simulator can run this code as it stands.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import Stop
from contracts.frame import Columns, Frame, FrameError, concat, form, length, position, take
from contracts.frame_check import FrameReader, Refused
from contracts.lanes import Lanes, LaneWriter, accept, rejoin
from contracts.pipeline import Pipeline
from streams.store.rows import StoreRows

Entry = tuple[bytes, bytes | None]  # a changelog record: key, and value or tombstone


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """Where an incarnation goes on from: all before it is in the changelog, the outputs and the store.

    `incarnation` numbers those that took the partition over: each writes its own number down at once.
    `joined` are the lanes met since the last hole in the input that somebody has accepted; null before any.
    """

    input_offset: int
    lanes: dict[str, int]
    definitions_hash: str
    extra: dict[str, int] = {}
    incarnation: int = 0
    joined: list[str] | None = None


class DeadLetter(NamedTuple):
    """A row refused after the gate: why, its source, its columns, and the input positions its letter covers.

    A letter goes to the raw record's partition of the dead-letter topic, on a lane like any other.
    """

    code: str
    reason: str
    kind: int
    row: dict[str, Any]
    src: str
    frm: int
    to: int
    claim: bool


class Outcome(NamedTuple):
    """What a source's rows became, in order of `pos`: `targets` names each output row's partition."""

    kind: int
    rows: Columns
    targets: NDArray[np.int32]
    refused: list[tuple[str, str, dict[str, Any]]]
    late: int = 0
    repeats: int = 0


class Made(NamedTuple):
    """What a batch became: of each part one outcome, and the store's rows of all, if any."""

    outcomes: list[Outcome]
    store_rows: StoreRows | None


class StageRows(Protocol):
    """The part of a stage that differs between entities: rows in, rows out, and the state between.

    `tiles` says whether the rows it makes for the store carry them.
    """

    tiles: bool

    @property
    def pipeline(self) -> Pipeline:
        """Return the way of the rows."""

    @property
    def columns(self) -> Mapping[int, frozenset[str]]:
        """Return the sources whose rows it takes, and the columns each must have."""

    @property
    def used_bytes(self) -> int:
        """Return the bytes of state in use, without the room that arrays keep for more."""

    def loaded_bytes(self, entries: Mapping[bytes, bytes]) -> int:
        """Return how many bytes stored entries would take at least, once loaded; changes nothing."""

    def apply(self, parts: Sequence[tuple[int, Columns]]) -> Made:
        """Fold rows into the state, in order of `pos` over all parts; each part is of one kind."""

    def take_dirty(self) -> list[Entry]:
        """Return copies of what changed since the last call, as changelog entries."""

    def load(self, entries: Mapping[bytes, bytes], extra: Mapping[str, int]) -> None:
        """Take over stored state, and the marker's numbers."""

    def extra(self) -> dict[str, int]:
        """Return the numbers that the marker keeps beside the offsets."""

    def latest(self) -> StoreRows:
        """Return the store's row of every key, from state."""

    def __len__(self) -> int: ...


class Writer(Protocol):
    """Makes records of output rows, for one incarnation; `contracts.lanes.LaneWriter` is the usual one."""

    @property
    def base(self) -> int:
        """Return the position from which this incarnation reads its input."""

    def emit(
        self, kind: int, rows: Columns, targets: NDArray[np.int32], upto: int
    ) -> list[tuple[int, bytes]]:
        """Return (target partition, record) pairs that hold the rows, in input order in each target."""


class Snapshot(NamedTuple):
    """A checkpoint's content, copied at a batch boundary."""

    entries: list[Entry]
    marker: Marker


class Counts(msgspec.Struct):
    """What a partition has seen; read by metrics, never by the protocol."""

    records: int = 0
    rows: int = 0
    repeated_records: int = 0
    unreadable_records: int = 0
    refused_frames: dict[str, int] = msgspec.field(default_factory=dict)
    lane_gaps: int = 0
    late_rows: int = 0
    repeats: int = 0
    refused: int = 0


class Step(NamedTuple):
    """What a batch asks of the ports, in this order: write the store, then send the records."""

    records: list[tuple[int, bytes]]
    store_rows: list[StoreRows]
    dead_letters: list[DeadLetter]
    refused: Sequence[Refused] = ()


class Gaps(NamedTuple):
    """What is asked where the next record is not at the next offset.

    `is_hole` says of offsets [from, to) whether a record was there: one that was deleted, or not handed on.
    What else has an offset is none: the end of a Kafka transaction, or what was sent in one that was aborted.
    `lost` is called with what an accepted hole is known to have held of a lane: (src, from, to).
    """

    is_hole: Callable[[int, int], bool] = lambda _frm, _to: True
    lost: Callable[[tuple[str, int, int]], None] = lambda _lane: None


class Run(NamedTuple):
    """Consecutive accepted rows of one kind and form, and the input offset after them."""

    kind: int
    form: tuple[object, ...]
    parts: list[Columns]
    next_offset: int


class StageCore:
    """The protocol of docs/architecture.md, "Exactness", for one partition and one incarnation."""

    def __init__(
        self,
        src: str,
        rows: StageRows,
        marker: Marker,
        writer: Writer | None = None,
        frames: FrameReader | None = None,
        gaps: Gaps | None = None,
    ) -> None:
        self.src = src
        self.rows = rows
        self.input_offset = marker.input_offset
        self.lanes: Lanes = dict(marker.lanes)
        self.definitions_hash = marker.definitions_hash
        self.incarnation = marker.incarnation
        self.counts = Counts()
        self._joined = None if marker.joined is None else set(marker.joined)
        self._gaps = gaps or Gaps()
        self._out = writer or LaneWriter(src, position(marker.input_offset))
        self._topic, _, self._partition = src.rpartition("/")
        self._frames = frames or FrameReader(self._topic, rows.pipeline, rows.columns)
        self._refused: list[Refused] = []
        self._letters_to: dict[int, int] = {}

    def batch(self, records: Sequence[tuple[int, bytes]]) -> Step:
        """Fold records (offset, bytes) in and return what they lead to.

        Raises:
            Stop: E_INPUT_HOLE, a record lies beyond the next expected offset; E_INPUT_END, Kafka does not
                answer how far the input of a lane has come.
        """
        self._refused = []
        step = Step([], [], [], self._refused)
        if runs := list(self._runs(records)):
            self._fold(runs, step)
        return step

    def snapshot(self) -> Snapshot:
        """Return all that changed since the last snapshot, and the marker that makes it true."""
        marker = Marker(
            input_offset=self.input_offset,
            lanes=dict(self.lanes),
            definitions_hash=self.definitions_hash,
            extra=self.rows.extra(),
            incarnation=self.incarnation,
            joined=None if self._joined is None else sorted(self._joined),
        )
        return Snapshot(self.rows.take_dirty(), marker)

    def _runs(self, records: Sequence[tuple[int, bytes]]) -> Iterator[Run]:
        """Merge consecutive records of one kind; each run goes on as records of its own.

        Rows made under other definitions than those before them are of another form, and not merged.
        """
        kind, made, parts = 0, tuple[object, ...](), list[Columns]()
        for offset, data in records:
            if not self._is_next(offset):
                continue
            frame = self._read(offset, data)
            if frame is not None:
                same = form(frame.rows)
                if parts and (frame.kind, same) != (kind, made):
                    yield Run(kind, made, parts, self.input_offset)
                    parts = []
                rows = self._accept(frame, offset)
                if length(rows):
                    kind, made = frame.kind, same
                    parts.append(rows)
            self.input_offset = offset + 1
        if parts:
            yield Run(kind, made, parts, self.input_offset)

    def _is_next(self, offset: int) -> bool:
        if offset < self.input_offset:  # Faust delivers again what the group had not committed
            self.counts.repeated_records += 1
            return False
        if offset > self.input_offset and self._gaps.is_hole(self.input_offset, offset):
            found = f"expected offset {self.input_offset}, got {offset}"
            raise Stop(73, "E_INPUT_HOLE", found, self.src)
        return True

    def _read(self, offset: int, data: bytes) -> Frame | None:
        """Return the frame, or nothing when no stage of ours wrote it: a stranger stops nobody."""
        try:
            return self._frames.read(data, self.lanes)
        except FrameError as error:
            self.counts.unreadable_records += 1
            code = error.code
            self.counts.refused_frames[code] = self.counts.refused_frames.get(code, 0) + 1
            refused = Refused(self._topic, int(self._partition), offset, code, str(error), data)
            self._refused.append(refused)
            return None

    def _accept(self, frame: Frame, offset: int) -> Columns:
        if self._joined is not None and (lost := rejoin(frame, self.lanes, self._joined)):
            self._gaps.lost(lost)
        rows = accept(frame, self.lanes, self._on_gap)
        self.counts.records += 1
        return {**rows, "pos": position(offset) + np.arange(length(rows), dtype=np.int64)}

    def _on_gap(self, frame: Frame) -> None:
        self.counts.lane_gaps += 1

    def _fold(self, runs: Sequence[Run], step: Step) -> None:
        """Fold all runs in at once: a kernel call costs the same for one row or a thousand."""
        alike: dict[tuple[object, ...], list[Run]] = {}
        for run in runs:
            alike.setdefault((run.kind, *run.form), []).append(run)
        kinds = [some[0].kind for some in alike.values()]
        rows = [concat([part for run in some for part in run.parts]) for some in alike.values()]
        made = self.rows.apply(list(zip(kinds, rows, strict=True)))
        if made.store_rows is not None:
            step.store_rows.append(made.store_rows)
        emitted = dict(zip(alike, map(_Emitted, made.outcomes), strict=True))
        for run in runs:
            upto = position(run.next_offset)
            part, targets = emitted[run.kind, *run.form].below(upto)
            step.records.extend(self._out.emit(run.kind, part, targets, upto))
        refused = [(one.kind, *each) for one in made.outcomes for each in one.refused]
        refused.sort(key=lambda each: each[3]["pos"])
        step.dead_letters.extend(self._letter(*each) for each in refused)
        self._count(rows, made.outcomes)

    def _letter(self, kind: int, code: str, reason: str, row: dict[str, Any]) -> DeadLetter:
        target, to = row["raw_partition"], row["pos"] + 1
        frm = self._letters_to.get(target, self._out.base)
        claim = target not in self._letters_to
        self._letters_to[target] = to
        return DeadLetter(code, reason, kind, row, self.src, frm, to, claim)

    def _count(self, rows: Sequence[Columns], outcomes: Sequence[Outcome]) -> None:
        self.counts.rows += sum(map(length, rows))
        self.counts.late_rows += sum(outcome.late for outcome in outcomes)
        self.counts.repeats += sum(outcome.repeats for outcome in outcomes)
        self.counts.refused += sum(len(outcome.refused) for outcome in outcomes)


class _Emitted:
    """Rows of an outcome, handed out in order."""

    def __init__(self, outcome: Outcome) -> None:
        self._rows, self._targets, self._at = outcome.rows, outcome.targets, 0

    def below(self, upto: int) -> tuple[Columns, NDArray[np.int32]]:
        """Return the rows at positions below `upto` that were not returned before, and their targets."""
        begin, self._at = self._at, int(np.searchsorted(self._rows["pos"], upto))
        if self._at - begin == len(self._targets):
            return self._rows, self._targets
        some = slice(begin, self._at)
        return take(self._rows, some), self._targets[some]
