"""The state of one entity on one partition: which keys there are, and what each of their windows holds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, Kind, length
from features.definition import Entity
from features.meaning import state_word
from features.view_parts import ViewParts, view_state
from features.view_state import ViewState, grown_to

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_HEAD_WORDS = 3  # of a packed key: definitions hash, position, as-of time


class Applied(NamedTuple):
    """What a batch answered, row by row."""

    values: Floats  # (n, columns of the entity), as of each row
    late: NDArray[np.bool_]  # (n,) older than every window of its view: changed no state
    as_of_ms: Ints  # (n,) the key's newest event time, the moment the values are as of


class Latest(NamedTuple):
    """The newest answer of every key, for rewriting an online store."""

    keys: list[bytes]
    values: Floats  # (n, columns)
    position: Ints  # (n,)
    as_of_ms: Ints  # (n,)


class EntityState:
    """Windows of all keys of one entity that one partition owns.

    Rows come in log order with their position in this stage's input as `pos`. A row moves its key's clock
    to the newest event time so far and is judged at that moment. Not safe for use by two threads.

    >>> from features.catalog import CUSTOMER
    >>> state = EntityState(CUSTOMER)
    >>> rows = {
    ...     "pos": np.arange(2), "customer_id": np.array([b"c1", b"c1"]),
    ...     "terminal_id": np.array([b"m1", b"m2"]),
    ...     "event_time": np.array([1_000, 61_000]), "amount_minor": np.array([500, 700]),
    ... }
    >>> applied = state.apply(rows, Kind.PAYMENT)
    >>> applied.values[:, CUSTOMER.columns.index("customer_count_1h")].tolist()
    [1.0, 2.0]
    """

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self._hash_word = state_word(entity)
        self._views = [view_state(view) for view in entity.views]
        self._slot_of: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._values = np.empty((0, len(entity.columns)))
        self._position = np.empty(0, np.int64)
        self._as_of_ms = np.empty(0, np.int64)
        self._dirty = np.empty(0, np.bool_)
        self._grow(1)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes of array state in use (keys and their dictionary not counted)."""
        own = self._values.nbytes + self._position.nbytes + self._as_of_ms.nbytes + self._dirty.nbytes
        return own + sum(view.nbytes for view in self._views)

    def apply(self, rows: Columns, kind: int) -> Applied:
        """Fold rows of one kind in and return their as-of values.

        Args:
            rows: n rows in log order: `pos`, the join key, and the columns that the views of this kind name.
            kind: the rows' kind; an EVENT is a payment that has not met a stage yet.
        """
        slots = self._slots(rows[self.entity.join_key])
        applied = self._fold(self._views, slots, rows, kind)
        self._values[slots] = applied.values  # of several rows of a key the last one stays
        self._position[slots] = rows["pos"]
        self._as_of_ms[slots] = applied.as_of_ms
        self._dirty[slots] = True
        return applied

    def peek(self, rows: Columns, kind: int) -> Applied:
        """Return what `apply` would answer for each row, each alone against the present; changes nothing.

        An unknown key is answered like a new one. Args as of `apply`; `pos` is not needed.
        """
        slots = self._find(rows[self.entity.join_key])
        copies = [view.copy_of(slots) for view in self._views]
        return self._fold(copies, np.arange(len(slots)), rows, kind)

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

    def take_dirty(self) -> tuple[list[bytes], list[bytes]]:
        """Return the keys changed since the last call with their packed states, and forget the change."""
        slots = np.flatnonzero(self._dirty[: len(self._keys)])
        self._dirty[slots] = False
        return [self._keys[slot] for slot in slots.tolist()], self._pack(slots)

    def load(self, keys: Sequence[bytes], blobs: Sequence[bytes]) -> None:
        """Take over packed states; a key given before is replaced, an empty state is passed over.

        Raises:
            StateError: E_STATE_DEFINITIONS, a state was written under other definitions of the features.
        """
        held = [i for i, blob in enumerate(blobs) if blob]
        if not held:
            return
        keys, blobs = [keys[i] for i in held], [blobs[i] for i in held]
        data = np.frombuffer(b"".join(blobs), np.int64)
        sizes = np.array([len(blob) // 8 for blob in blobs], np.int64)
        at = np.cumsum(sizes) - sizes
        if np.any(data[at] != self._hash_word):
            raise StateError(
                "E_STATE_DEFINITIONS", "the changelog was written under other feature definitions",
                self.entity.name, "run `headrace backfill --warm`, or go back to the code that wrote it",
            )  # fmt: skip
        slots = self._slots(np.array(keys, np.bytes_))
        self._position[slots] = data[at + 1]
        self._as_of_ms[slots] = data[at + 2]
        width = len(self.entity.columns)
        words = at[:, None] + _HEAD_WORDS + np.arange(width)
        self._values[slots] = data[words].view(np.float64)
        offsets = at + _HEAD_WORDS + width
        for view in self._views:
            view.unpack(slots, data, offsets)
        self._dirty[slots] = False

    def latest(self) -> Latest:
        """Return every key's newest answer."""
        count = len(self._keys)
        return Latest(
            list(self._keys), self._values[:count].copy(), self._position[:count].copy(),
            self._as_of_ms[:count].copy(),
        )  # fmt: skip

    def _fold(self, views: Sequence[ViewState | ViewParts], slots: Ints, rows: Columns, kind: int) -> Applied:
        """Fold rows into the views' slots, and return the columns of all views side by side."""
        kind = Kind.PAYMENT if kind == Kind.EVENT else kind
        clock_ms = next(rows[v.time] for v in self.entity.views if v.rows == kind)
        count = length(rows)
        values = np.empty((count, len(self.entity.columns)))
        late = np.zeros(count, np.bool_)
        as_of_ms = np.empty(count, np.int64)
        column = 0
        for view in views:
            answers = view.apply(rows, kind, slots, clock_ms)
            values[:, column : column + answers.values.shape[1]] = answers.values
            column += answers.values.shape[1]
            late |= answers.late
            as_of_ms = answers.at_ms
        return Applied(values, late, as_of_ms)

    def _pack(self, slots: Ints) -> list[bytes]:
        width = len(self.entity.columns)
        parts = [view.packed_words(slots) for view in self._views]
        sizes = _HEAD_WORDS + width + np.sum(parts, axis=0, dtype=np.int64)
        ends = np.cumsum(sizes)
        at = ends - sizes
        data = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
        data[at] = self._hash_word
        data[at + 1] = self._position[slots]
        data[at + 2] = self._as_of_ms[slots]
        data[at[:, None] + _HEAD_WORDS + np.arange(width)] = self._values[slots].view(np.int64)
        offsets = at + _HEAD_WORDS + width
        for view, words in zip(self._views, parts, strict=True):
            view.pack(slots, data, offsets)
            offsets = offsets + words
        raw = data.tobytes()
        return [raw[a * 8 : b * 8] for a, b in zip(at.tolist(), ends.tolist(), strict=True)]

    def _slots(self, keys: NDArray[np.bytes_]) -> Ints:
        """Return the slot of each key, making room for new ones."""
        known = self._slot_of
        slots = []
        for key in keys.tolist():
            slot = known.get(key)
            if slot is None:
                slot = len(known)
                known[key] = slot
                self._keys.append(key)
            slots.append(slot)
        if len(known) >= len(self._position):
            self._grow(max(1024, 2 * len(known)))
        return np.array(slots, np.int64)

    @property
    def _nobody(self) -> int:
        """The last slot, which no key is ever given: its windows are empty."""
        return len(self._position) - 1

    def _find(self, keys: NDArray[np.bytes_]) -> Ints:
        """Return the slot of each key, nobody's for an unknown one."""
        known, nobody = self._slot_of, self._nobody
        return np.array([known.get(key, nobody) for key in keys.tolist()], np.int64)

    def _grow(self, capacity: int) -> None:
        self._values = grown_to(self._values, capacity)
        self._position = grown_to(self._position, capacity)
        self._as_of_ms = grown_to(self._as_of_ms, capacity)
        self._dirty = grown_to(self._dirty, capacity)
        for view in self._views:
            view.grow(capacity)
