"""The state of one entity on one partition: which keys there are, and what each of their windows holds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, interleaved
from features.aggregations import FirstSeen
from features.checksum import SUM_BYTES, TABLES, first_misfit, put_sums
from features.definition import Entity
from features.idle import NEVER, NO_REST_MS, arrive, begin_again, find_idle
from features.key_table import UNKNOWN, KeyTable
from features.meaning import meaning_of
from features.packing import close_up, pack_numbers, unpack_numbers
from features.partition_clock import PartitionClock
from features.row_reader import SourceRows
from features.view_groups import ViewGroups
from features.view_state import grown_to

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# A packed key begins with this byte, then the definitions hash (8 bytes) and the CRC-32 of the rest: numbers,
# values, views. It lies in stores that others may write to: a bit that changes must not become a value.
PACKED_VERSION = 3
KEY, CLOCK_MS = "#key", "#clock_ms"  # columns that may stand beside a source's own, which no field is called
_NUMBERS = 3  # position, as-of time, what the partition's clock showed
_VARINT_BYTES = 10
_LOADED_PERCENT = 150  # of a packed state's bytes are its records' at least; measured 157 to 370
_LOADED_PERCENT_SEEN = 100  # where items are kept for `first_seen`, which packing hardly makes smaller
_KEYS_AT_ONCE = 512  # packed at once: room for the worst case of so many stays in the processor's cache


class Applied(NamedTuple):
    """What a batch answered, row by row."""

    values: Floats  # (n, columns of the entity), as of each row
    late: NDArray[np.bool_]  # (n,) older than every window of its view: changed no state
    as_of_ms: Ints  # (n,) the key's newest event time, the moment the values are as of


class Merged(NamedTuple):
    """Rows of several sources as one batch folds them in, in order of position; n of them.

    `parts` say where the rows of each source stand, `shown_ms` what the partition's clock showed, if told.
    """

    parts: list[SourceRows]
    keys: NDArray[np.bytes_]
    position: Ints
    times_ms: Ints
    shown_ms: Ints | None


class Latest(NamedTuple):
    """The newest answer of every key, for rewriting an online store."""

    keys: list[bytes]
    values: Floats  # (n, columns)
    position: Ints  # (n,)
    as_of_ms: Ints  # (n,)


class EntityState:
    """Windows of all keys of one entity that one partition owns.

    Rows come in log order with their position in this stage's input as `pos`. A row moves its key's clock
    to the newest event time so far and is judged at that moment. Not safe for use by two threads. With
    `forgets` false no key is idle, whatever other keys have seen: their states may come from anywhere.

    >>> from features.project.running import project_at
    >>> device = project_at("examples/logins").entities[1]
    >>> state = EntityState(device)
    >>> rows = {
    ...     "pos": np.arange(2), "device_id": np.array([b"d1", b"d1"]),
    ...     "account_id": np.array([b"a1", b"a2"]), "at": np.array([1_000, 61_000]),
    ... }
    >>> applied = state.apply(rows, kind=1)
    >>> applied.values[:, device.columns.index("device_logins_count_1h")].tolist()
    [1.0, 2.0]
    """

    def __init__(self, entity: Entity, forgets: bool = True) -> None:
        self.entity = entity
        self._head = bytes([PACKED_VERSION]) + bytes.fromhex(meaning_of(entity).hash)
        self._body = len(self._head) + SUM_BYTES
        self._times = entity.times
        seen = any(isinstance(f.aggregation, FirstSeen) for view in entity.views for f in view.features)
        self._loaded_percent = _LOADED_PERCENT_SEEN if seen else _LOADED_PERCENT
        self._views = [ViewGroups(view) for view in entity.views]
        reach_ms = min(NO_REST_MS, max(view.idle_ms for view in self._views))
        self._limits = (reach_ms if forgets else NO_REST_MS, reach_ms)
        self.clock = PartitionClock()
        self._keys = KeyTable()
        self._width = len(entity.columns)
        self._values = np.empty((0, self._width))
        self._position = np.empty(0, np.int64)
        self._as_of_ms = np.empty(0, np.int64)
        self._shown_ms = np.empty(0, np.int64)
        self._dirty = np.empty(0, np.bool_)
        self._swept = 0
        self._gone: set[bytes] = set()
        self._packing = np.empty(0, np.uint8)
        self._grow(1)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes of array state, with the room for keys to come."""
        own = self._keys.nbytes + len(self._position) * self._slot_bytes
        return own + sum(view.nbytes for view in self._views)

    @property
    def used_bytes(self) -> int:
        """Bytes of array state in use: as `nbytes`, without the room for keys to come."""
        own = self._keys.slots * (self._keys.slot_bytes + self._slot_bytes)
        return own + sum(view.nbytes for view in self._views)

    def loaded_bytes(self, keys: int, packed_bytes: int) -> int:
        """Return how many bytes so many keys take at least once `load` has taken over their packed states.

        >>> from features.project.running import project_at
        >>> device = project_at("examples/logins").entities[1]
        >>> EntityState(device).loaded_bytes(1_000_000, 120_000_000) > 150_000_000
        True
        """
        own = keys * (self._keys.slot_bytes + self._slot_bytes)
        return own + packed_bytes * self._loaded_percent // 100

    def apply(self, rows: Columns, kind: int) -> Applied:
        """Fold rows of one kind in and return their as-of values.

        Args:
            rows: n rows in log order, each with the key: `pos`, the join key, the source's time, and the
                columns that the views of this source name (`View.reads`), null as on the wire. A column `KEY`
                stands for the join key. With `CLOCK_MS` they are some of a partition's rows, and that is what
                its clock showed at each; without it they are all of them, and move it.
            kind: the number of the rows' source.
        """
        return self.fold(self.merged([(kind, rows)]))

    def merged(self, parts: Sequence[tuple[int, Columns]]) -> Merged:
        """Return rows of several sources (their number, and rows as `apply` takes them) as one batch."""
        keys = [self._keys_of(rows) for _, rows in parts]
        times_ms = [self.times_of(rows, kind) for kind, rows in parts]
        position = [rows["pos"] for _, rows in parts]
        shown_ms = [rows[CLOCK_MS] for _, rows in parts if CLOCK_MS in rows]
        if len(parts) == 1:
            alone = [SourceRows(*parts[0])]
            return Merged(alone, keys[0], position[0], times_ms[0], shown_ms[0] if shown_ms else None)
        order, places = interleaved(position)
        columns = [np.concatenate(each)[order] for each in (keys, position, times_ms)]
        shown = np.concatenate(shown_ms)[order] if shown_ms else None
        placed = [SourceRows(*part, at) for part, at in zip(parts, places, strict=True)]
        return Merged(placed, columns[0], columns[1], columns[2], shown)

    def fold(self, batch: Merged) -> Applied:
        """Fold rows of several sources in, in their order, and return their as-of values in it.

        It is what `apply` makes of them one source after the other, each for the rows until the next.

        >>> from features.project.running import project_at
        >>> ip = project_at("examples/logins").entities[2]
        >>> state, key, of = EntityState(ip), {"ip": np.array([b"h1"])}, {"login_id": np.array([b"l1"])}
        >>> login = {"pos": np.array([0]), "account_id": np.array([b"a1"]), "at": np.array([1])}
        >>> takeover = {"pos": np.array([1]), "known_at": np.array([2]), "positive": np.array([1])}
        >>> batch = state.merged([(1, login | key | of), (2, takeover | key | of)])
        >>> state.fold(batch).values[:, ip.columns.index("ip_takeovers_count_7d")].tolist()
        [0.0, 1.0]
        """
        slots = self._slots(batch.keys)
        anew = np.empty(len(slots), np.bool_)
        clock_ms = self._clock_at(batch, slots)
        arrive((slots, batch.times_ms, clock_ms), self._shown_ms, self._as_of_ms, self._limits, anew)
        applied = self._answers(self._views, (slots, anew), batch)
        self._values[slots] = applied.values  # of several rows of a key the last one stays
        self._position[slots] = batch.position
        self._as_of_ms[slots] = applied.as_of_ms
        self._dirty[slots] = True
        self._sweep(16 + 2 * len(slots))
        return applied

    def peek(self, rows: Columns, kind: int) -> Applied:
        """Return what `apply` would answer for each row, each alone against the present; changes nothing.

        An unknown key is answered like a new one. Args as of `apply`; `pos` is not needed.
        """
        slots = self._find(self._keys_of(rows))
        anew = np.empty(len(slots), np.bool_)
        known, times_ms = (self._shown_ms, self._as_of_ms), self.times_of(rows, kind)
        begin_again(slots, known, self.clock.now_ms, times_ms, self._limits, anew)
        copies = [view.copy_of(slots) for view in self._views]
        batch = Merged([SourceRows(kind, rows)], np.empty(0, "S1"), np.empty(0, np.int64), times_ms, None)
        return self._answers(copies, (np.arange(len(slots)), anew), batch)

    def at(self, keys: NDArray[np.bytes_], now_ms: Ints) -> Floats:
        """Return the values of keys as of a moment, shape (n, columns of the entity); changes nothing.

        All rows folded in so far count, for features declared without the current row too. Windows end at
        `now_ms` (n,), or at the key's newest event time when that is later. An unknown key has empty windows.
        """
        slots = self._find(keys)
        return np.concatenate([view.at(slots, now_ms) for view in self._views], axis=1)

    def valid_until_ms(self, keys: NDArray[np.bytes_], now_ms: Ints) -> Ints:
        """Return the first moment from which `at` may answer otherwise without a new row (n,).

        Until then it gives the same bits, but for the time since the last row, which grows every
        millisecond and counts only when it becomes null. Largest int64: for ever.
        """
        slots = self._find(keys)
        moments = [view.valid_until_ms(slots, now_ms) for view in self._views]
        return np.asarray(np.minimum.reduce(moments))

    def export(self, keys: NDArray[np.bytes_]) -> list[bytes]:
        """Return the packed state of keys, as `take_dirty` does, dirty or not; b"" for an unknown key.

        Loaded into an empty state it answers `at` with the same bits.
        """
        slots = self._find(keys)
        known = slots != self._nobody
        blobs = iter(self._pack(slots[known]))
        return [next(blobs) if is_known else b"" for is_known in known.tolist()]

    def take_dirty(self) -> tuple[list[bytes], list[bytes | None]]:
        """Return the keys changed since the last call with their packed states, and forget the change.

        A key that was forgotten has None in place of a state: what was stored of it may go.
        """
        slots = np.flatnonzero(self._dirty)
        self._dirty[slots] = False
        keys, blobs = self._keys.names(slots), self._pack(slots)
        gone = sorted(self._gone.difference(keys))
        self._gone.clear()
        return keys + gone, [*blobs, *[None] * len(gone)]

    def load(self, keys: Sequence[bytes], blobs: Sequence[bytes | None]) -> None:
        """Take over packed states; a key given before is replaced, an empty state is passed over.

        Raises:
            StateError: E_STATE_DEFINITIONS, a state was written under other definitions of the features;
                E_STATE_FORM, it was written by other code; E_STATE_CHECKSUM, it is not what was written;
                E_STATE_BYTES, it is no packed state at all.
        """
        held = [(key, blob) for key, blob in zip(keys, blobs, strict=True) if blob]
        if not held:
            return
        names, states = zip(*held, strict=True)
        self._check(states)
        data = np.frombuffer(b"".join(states), np.uint8)
        ends = np.cumsum(np.fromiter(map(len, states), np.int64, len(states)))
        begins = np.concatenate([ends[:1] * 0, ends[:-1]])
        self._check_sums(data, begins, ends)
        offsets = begins + self._body
        slots = self._slots(np.array(names, np.bytes_))
        numbers = np.empty((len(slots), _NUMBERS), np.int64)
        values = np.empty((len(slots), self._width))
        unpack_numbers(numbers, values, data, offsets)
        for view in self._views:
            view.unpack(slots, data, offsets)
        if not np.array_equal(offsets, ends):
            raise self._error("E_STATE_BYTES", "a packed state does not end where it should")
        self._values[slots] = values
        self._position[slots], self._as_of_ms[slots], self._shown_ms[slots] = numbers.T
        self._dirty[slots] = False

    def begin_log(self) -> None:
        """Put every key at position 0: the rows it holds come before the first of another log."""
        self._position[:] = 0

    def compact(self) -> None:
        """Close the gaps that grown and forgotten keys left; it happens by itself when room is needed."""
        for view in self._views:
            view.compact()

    def latest(self) -> Latest:
        """Return every key's newest answer; idle keys have none."""
        slots = self._keys.live()
        slots = slots[~self._is_idle(slots)]
        return Latest(
            self._keys.names(slots), self._values[slots], self._position[slots], self._as_of_ms[slots]
        )

    def _answers(
        self, views: Sequence[ViewGroups], where: tuple[Ints, NDArray[np.bool_]], batch: Merged
    ) -> Applied:
        """Fold rows into the views' slots (beginning anew or not); return all views' columns side by side."""
        parts = [view.apply(batch.parts, where[0], batch.times_ms, where[1]) for view in views]
        if len(parts) == 1:
            return Applied(parts[0].values, parts[0].late, parts[0].at_ms)
        values = np.concatenate([part.values for part in parts], axis=1)
        return Applied(values, np.logical_or.reduce([part.late for part in parts]), parts[-1].at_ms)

    def _clock_at(self, batch: Merged, slots: Ints) -> Ints:
        """Return what the partition's clock shows at each row, which moves it unless that is given."""
        if batch.shown_ms is None:
            return self.clock.advance(self._keys.hashes(slots), batch.times_ms)
        if len(slots):
            self.clock.show(int(batch.shown_ms[-1]))
        return batch.shown_ms

    def times_of(self, rows: Columns, kind: int) -> Ints:
        """Return the time by which rows of a kind move clocks, (n,)."""
        return np.ascontiguousarray(rows[self._times[kind]])

    def _keys_of(self, rows: Columns) -> NDArray[np.bytes_]:
        """Return the keys as text, (n,): of a whole number its digits."""
        keys = rows[KEY] if KEY in rows else rows[self.entity.join_key]
        return keys if keys.dtype.kind == "S" else np.char.mod(b"%d", keys)

    def _sweep(self, count: int) -> None:
        """Look at the next `count` slots in turn and forget idle keys: each row pays for two slots."""
        begin = self._swept if self._swept < self._keys.slots else 0
        self._swept = min(begin + count, self._keys.slots)
        found = np.empty(self._swept - begin, np.int64)
        before_ms = self.clock.now_ms - self._limits[0]
        idle = found[: find_idle(self._shown_ms, self._as_of_ms, before_ms, (begin, self._swept), found)]
        if not len(idle):
            return
        self._gone.update(self._keys.names(idle))
        self._keys.remove(idle)
        for view in self._views:
            view.drop(idle)
        self._shown_ms[idle] = NEVER
        self._dirty[idle] = False

    def _is_idle(self, slots: Ints) -> NDArray[np.bool_]:
        shown_ms, before_ms = self._shown_ms[slots], self.clock.now_ms - self._limits[0]
        arrived_ms = np.maximum(shown_ms, self._as_of_ms[slots])
        idle: NDArray[np.bool_] = (arrived_ms < before_ms) & (shown_ms != NEVER)
        return idle

    def _pack(self, slots: Ints) -> list[bytes]:
        """Return each slot's state as bytes."""
        packed: list[bytes] = []
        for begin in range(0, len(slots), _KEYS_AT_ONCE):
            packed += self._pack_some(slots[begin : begin + _KEYS_AT_ONCE])
        return packed

    def _pack_some(self, slots: Ints) -> list[bytes]:
        own = self._body + _VARINT_BYTES * (_NUMBERS + self._width)
        bounds = own + np.sum([view.pack_bounds(slots) for view in self._views], axis=0, dtype=np.int64)
        begins = np.cumsum(bounds) - bounds
        data = self._room(int(bounds.sum()))
        data[begins[:, None] + np.arange(len(self._head))] = np.frombuffer(self._head, np.uint8)
        offsets = begins + self._body
        numbers = np.stack([self._position[slots], self._as_of_ms[slots], self._shown_ms[slots]], axis=1)
        pack_numbers(numbers, self._values[slots], data, offsets)
        for view in self._views:
            view.pack(slots, data, offsets)
        end = close_up(data, begins, offsets)
        self._put_sums(data, begins, offsets)
        raw = data[:end].tobytes()
        return [raw[a:b] for a, b in zip(begins.tolist(), offsets.tolist(), strict=True)]

    def _put_sums(self, data: NDArray[np.uint8], begins: Ints, ends: Ints) -> None:
        """Write each packed key's checksum into its place."""
        put_sums(data, begins, ends, len(self._head), TABLES)

    def _room(self, size: int) -> NDArray[np.uint8]:
        """Return bytes to pack into, the same each time: fresh ones would come as page faults."""
        if len(self._packing) < size:
            self._packing = np.empty(size, np.uint8)
        return self._packing

    def _check(self, states: Sequence[bytes]) -> None:
        """Refuse states that these definitions did not write."""
        if all(state.startswith(self._head) for state in states):
            return
        other = next(state for state in states if not state.startswith(self._head))
        if other[0] != PACKED_VERSION:
            raise self._error("E_STATE_FORM", f"state of form {other[0]}, this code has {PACKED_VERSION}")
        raise self._error("E_STATE_DEFINITIONS", "state was written under other feature definitions")

    def _check_sums(self, data: NDArray[np.uint8], begins: Ints, ends: Ints) -> None:
        """Refuse states that are not as they were written."""
        at = first_misfit(data, begins, ends, len(self._head), TABLES)
        if at >= 0:
            what = f"{ends[at] - begins[at]} bytes are not as they were written"
            raise self._error("E_STATE_CHECKSUM", what)

    def _error(self, code: str, what: str) -> StateError:
        return StateError(
            code,
            what,
            self.entity.name,
            "run `headrace backfill --warm`, or go back to the code that wrote it",
        )

    def _slots(self, keys: NDArray[np.bytes_]) -> Ints:
        """Return the slot of each key, making room for new ones."""
        slots = self._keys.add(keys)
        if self._keys.slots >= len(self._position):
            self._grow(max(1024, 2 * self._keys.slots))
        return slots

    @property
    def _slot_bytes(self) -> int:
        """Bytes for each slot, without its name and what the views keep of it."""
        columns = (self._position, self._as_of_ms, self._shown_ms, self._dirty)
        return 8 * self._width + sum(column.itemsize for column in columns)

    @property
    def _nobody(self) -> int:
        """The last slot, which no key is ever given: its windows are empty."""
        return len(self._position) - 1

    def _find(self, keys: NDArray[np.bytes_]) -> Ints:
        """Return the slot of each key, nobody's for an unknown or idle one."""
        slots = self._keys.find(keys)
        slots[slots == UNKNOWN] = self._nobody
        slots[self._is_idle(slots)] = self._nobody
        return slots

    def _grow(self, capacity: int) -> None:
        old = len(self._position)
        self._values = grown_to(self._values, capacity)
        self._position = grown_to(self._position, capacity)
        self._as_of_ms = grown_to(self._as_of_ms, capacity)
        self._shown_ms = grown_to(self._shown_ms, capacity)
        self._shown_ms[old:] = NEVER
        self._dirty = grown_to(self._dirty, capacity)
        self._dirty[old:] = False
        for view in self._views:
            view.grow(capacity)
