"""The state of a view: its features in groups that fold the same value, each with a state of its own.

The compiled folds know one measure and one item. So a view is split (`groups_of`): its first measure that is
never null, its first item that is never null and what only counts rows are one group, since the same rows
count for all of them; every other measure, condition and item is a group of its own. A view of one measure
and one item is one group, and costs what it always did.

Which features share a group changes how state is packed, never a value: how long rows are kept is decided by
all features of the view (`View.beside`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from features.aggregations import Distinct, SameAsLast
from features.definition import FOREVER_MS as ENDLESS_MS
from features.definition import Feature, Items, View
from features.idle import GRACE_MS, NEVER
from features.kernel import Answers
from features.row_reader import RowReader, SourceRows, ValueOf
from features.view_parts import ViewParts, view_state
from features.view_state import FOREVER_MS, ViewState

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class FoldGroup(NamedTuple):
    """Features of a view that fold the same value of the same rows, and their columns' places in it."""

    of: ValueOf
    view: View
    columns: Ints


def groups_of(view: View) -> tuple[FoldGroup, ...]:
    """Return a view's groups, in the order of their first features.

    >>> from features.aggregations import Count, Max
    >>> from features.definition import Window
    >>> hour = Window.of(hours=1)
    >>> found = [Feature(name=m, aggregation=Max(), window=hour, measure=m) for m in ("size", "weight")]
    >>> rows = Feature(name="rows", aggregation=Count(), window=hour)
    >>> groups = groups_of(View(name="v", rows=1, time="at", features=(*found, rows)))
    >>> [(group.of.column, group.view.columns) for group in groups]
    [('size', ('size', 'rows')), ('weight', ('weight',))]
    """
    shared, found = _shared(view), dict[ValueOf, list[Feature]]()
    for feature in view.features:
        of = _value_of(view, feature)
        found.setdefault(shared if _goes_with(of, shared) else of, []).append(feature)
    return tuple(_group(view, of, tuple(features)) for of, features in found.items())


def _value_of(view: View, feature: Feature) -> ValueOf:
    """Return what a feature alone folds."""
    item = view.item if view.items == "replace" else view.item_of(feature)
    if isinstance(feature.aggregation, SameAsLast):
        return ValueOf(hashed=item)
    return ValueOf(view.measure_of(feature), feature.condition, item=item)


def _shared(view: View) -> ValueOf:
    """Return what the group folds that counts every row of the view."""
    alone = [_value_of(view, feature) for feature in view.features]
    valued = [of for of in alone if of.column or of.condition is not None]
    values = [of for of in valued if not _may_be_null(view, of.column)]
    first = values[0] if values else ValueOf()
    items = [of.item for of in alone if of.item and not _may_be_null(view, of.item)]
    return first._replace(item=items[0] if items else "")


def _goes_with(of: ValueOf, shared: ValueOf) -> bool:
    """Say whether a feature is of the shared group: it asks for no other value and no other item."""
    same_value = (of.column, of.condition) in (("", None), (shared.column, shared.condition))
    return same_value and not of.hashed and of.item in ("", shared.item)


def _may_be_null(view: View, columns: str) -> bool:
    nullable = {name for name, kind in view.types if kind.nullable}
    return not nullable.isdisjoint(columns.split("+"))


def _group(view: View, of: ValueOf, features: tuple[Feature, ...]) -> FoldGroup:
    beside = tuple(f for f in view.features if f not in features)
    items: Items = view.items
    if items != "replace":
        items = "distinct" if any(isinstance(f.aggregation, Distinct) for f in features) else "none"
    item = of.item or of.hashed
    alone = structs.replace(view, features=features, beside=beside, measure=of.column, item=item, items=items)
    columns = [view.columns.index(name) for feature in features for name in feature.columns]
    return FoldGroup(of, alone, np.array(columns, np.int64))


class ViewGroups:
    """State of a view; slots are handed out by the entity; see `features.state.EntityState`."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._groups = groups_of(view)
        self._reader = RowReader(view, [group.of for group in self._groups])
        self._states: list[ViewState | ViewParts] = [view_state(group.view) for group in self._groups]
        units = np.array([view.unit_of(feature) for feature in view.features for _ in feature.columns])
        self._units = units if (units != 1.0).any() else None
        self._is_plain = len(self._states) == 1 and self._units is None

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(state.nbytes for state in self._states)

    @property
    def idle_ms(self) -> int:
        """After how long without any row nothing of a key is left to see; FOREVER_MS to keep it for good."""
        if self.view.longest_ms == ENDLESS_MS:
            return FOREVER_MS
        return GRACE_MS + max(f.reach_ms + (f.window.hop_ms if f.window else 0) for f in self.view.features)

    def apply(
        self, parts: Sequence[SourceRows], slots: Ints, clock_ms: Ints, anew: NDArray[np.bool_]
    ) -> Answers:
        """Fold a batch in, in log order; rows that do not count only move the clock.

        `anew` (n,) marks rows whose key begins again: what it held before is forgotten.
        """
        counted = self._reader.counted(parts, len(slots))
        if self._is_plain:
            return self._states[0].apply(counted[0], slots, clock_ms, anew)
        answers = [
            state.apply(some, slots, clock_ms, anew)
            for state, some in zip(self._states, counted, strict=True)
        ]
        values = self._side_by_side([each.values for each in answers])
        if len(answers) == 1:
            return answers[0]._replace(values=values)
        at_ms = answers[0].at_ms
        counts = np.logical_or.reduce([some.folds for some in counted])
        late = counts & (counted[0].time_ms < oldest_ms(self.view, at_ms))
        return Answers(values, late, at_ms)

    def at(self, slots: Ints, now_ms: Ints) -> Floats:
        """Return the values of each slot as of a moment (not before its clock), all rows so far counted."""
        return self._side_by_side([state.at(slots, now_ms) for state in self._states])

    def valid_until_ms(self, slots: Ints, now_ms: Ints) -> Ints:
        """Return the first moment at which `at` may answer otherwise by expiry alone."""
        moments = [state.valid_until_ms(slots, now_ms) for state in self._states]
        return np.asarray(np.minimum.reduce(moments))

    def copy_of(self, slots: Ints) -> "ViewGroups":
        """Return a state of its own whose slot i holds what `slots[i]` holds here."""
        copied = ViewGroups.__new__(ViewGroups)
        copied.view, copied._groups, copied._reader = self.view, self._groups, self._reader
        copied._units, copied._is_plain = self._units, self._is_plain
        copied._states = [state.copy_of(slots) for state in self._states]
        return copied

    def drop(self, slots: Ints) -> None:
        """Forget what these slots hold."""
        for state in self._states:
            state.drop(slots)

    def pack_bounds(self, slots: Ints) -> Ints:
        """Return how many bytes are enough for `pack` to write each slot."""
        bounds = [state.pack_bounds(slots) for state in self._states]
        return np.asarray(np.sum(bounds, axis=0, dtype=np.int64))

    def pack(self, slots: Ints, data: NDArray[np.uint8], offsets: Ints) -> None:
        """Write each slot's state at its offset, group after group, moving `offsets` behind it."""
        for state in self._states:
            state.pack(slots, data, offsets)

    def unpack(self, slots: Ints, data: NDArray[np.uint8], offsets: Ints) -> None:
        """Read what `pack` wrote, moving `offsets` behind it.

        Raises:
            StateError: E_STATE_BYTES, the bytes are no such record.
        """
        for state in self._states:
            state.unpack(slots, data, offsets)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` slots; the new ones are empty."""
        for state in self._states:
            state.grow(capacity)

    def compact(self) -> None:
        """Close the gaps between records."""
        for state in self._states:
            state.compact()

    def _side_by_side(self, parts: Sequence[Floats]) -> Floats:
        """Return each group's columns in their places in the view, decimals in their own unit."""
        values = parts[0]
        if len(parts) > 1:
            values = np.empty((len(parts[0]), len(self.view.columns)))
            for group, part in zip(self._groups, parts, strict=True):
                values[:, group.columns] = part
        return values if self._units is None else values / self._units


def oldest_ms(view: View, at_ms: Ints) -> Ints:
    """Return the earliest time of a row that any feature of the view can still take in at moments (n,)."""
    found = [_oldest_of(view, feature, at_ms) for feature in view.features]
    return np.asarray(np.minimum.reduce(found))


def _oldest_of(view: View, feature: Feature, at_ms: Ints) -> Ints:
    window = feature.window
    if window is not None and window.kind in ("sawtooth", "delayed"):
        return np.asarray((at_ms - window.reach_ms) // window.hop_ms * window.hop_ms)
    reach_ms = feature.aggregation.reach_ms or view.longest_ms
    if reach_ms == ENDLESS_MS or (window is not None and window.kind == "lifetime"):
        return np.full(len(at_ms), NEVER)
    return at_ms - reach_ms
