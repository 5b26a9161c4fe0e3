"""Everything that a state may be asked, asked once: so that no row waits for a compiler.

Numba compiles a function when it is first called with arguments of its kind, for up to seconds, or reads it
from disk, for milliseconds. Both happen here, on keys of nobody.
"""

import numpy as np

from contracts.frame import Columns, strings
from features.definition import DAY_MS, Entity
from features.state import EntityState

BEGIN_MS = 1_000 * DAY_MS
MANY = 3_000  # keys: more than a fresh state has room for


def exercise(entity: Entity) -> None:
    """Fold, read, pack, load, forget and grow a state that is thrown away.

    >>> from features.project.running import project_at
    >>> exercise(project_at("examples/logins").entities[1])
    """
    state, kinds = EntityState(entity), sorted(entity.times)
    _fold(state, kinds, [b"a", b"b"], BEGIN_MS)
    _read(state, kinds, [b"a", b"nobody"], BEGIN_MS + DAY_MS)
    keys, packed = state.take_dirty()
    again = EntityState(entity, forgets=False)
    again.load(keys, packed)
    again.load(keys, packed)  # over what is there
    _read(again, kinds, [b"a"], BEGIN_MS + DAY_MS)
    _fold(state, kinds, [b"k%d" % number for number in range(MANY)], BEGIN_MS)
    if not entity.lasting:
        later_ms = BEGIN_MS + 2 * entity.longest_ms + 2 * DAY_MS
        for _ in range(2):  # what is idle by now is swept as rows come
            _fold(state, kinds, [b"c", b"d", b"e"] * MANY, later_ms)
        state.take_dirty()
    state.compact()
    state.latest()


def _fold(state: EntityState, kinds: list[int], keys: list[bytes], time_ms: int) -> None:
    for kind in kinds:
        state.apply(_rows(state.entity, keys, time_ms), kind)


def _read(state: EntityState, kinds: list[int], keys: list[bytes], now_ms: int) -> None:
    names, moments = strings(keys), np.full(len(keys), now_ms)
    for kind in kinds:
        state.peek(_rows(state.entity, keys, now_ms), kind)
    state.at(names, moments)
    state.valid_until_ms(names, moments)
    state.export(names)


def _rows(entity: Entity, keys: list[bytes], time_ms: int) -> Columns:
    """Return a row a key, with the columns of every view."""
    count = len(keys)
    rows: Columns = {"pos": np.arange(count), entity.join_key: strings(keys)}
    for view in entity.views:
        texts = {name for f in view.features for name in view.item_of(f).split("+")} | {*view.item.split("+")}
        kinds = dict.fromkeys(texts, "text") | {name: kind.kind for name, kind in view.types}
        for name in view.reads:
            if name != entity.join_key:
                is_text = kinds.get(name) == "text"
                rows[name] = strings(["w"] * count) if is_text else np.ones(count, np.int64)
    return rows | {name: np.full(count, time_ms) for name in entity.times.values()}
