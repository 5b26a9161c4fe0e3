"""The online store against the feature log: each stored row is judged at the position it is stamped with.

So a row that is merely behind is told apart from a row that is wrong.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns
from features.definition import Entity
from features.feast_row import RowsRead

Floats = NDArray[np.float64]


class StoreCompared(msgspec.Struct, kw_only=True):
    """One entity's rows in the store.

    `behind` rows are right as of an earlier position than the log's last, `ahead` rows of a later one (the
    lake is behind), `other_epoch` rows another run wrote; `wrong` rows differ at their own position.
    """

    keys: int
    equal: int = 0
    behind: int = 0
    ahead: int = 0
    absent: int = 0
    other_epoch: int = 0
    wrong: int = 0
    examples: list[dict[str, object]] = []


def compare_store(
    entity: Entity, keys: NDArray[np.bytes_], stored: RowsRead, rows: Columns, logged: Floats, epoch: int
) -> StoreCompared:
    """Return how the stored rows of `keys` stand to the log.

    Args:
        keys: shape (n,), in the order of `stored`.
        rows: log rows of these keys in log order, with `pos`; logged: (m, k) their values.
        epoch: the run's.
    """
    places: dict[bytes, dict[int, int]] = {}
    for at, (key, pos) in enumerate(zip(rows[entity.join_key].tolist(), rows["pos"].tolist(), strict=True)):
        places.setdefault(key, {})[pos] = at
    found = StoreCompared(keys=len(keys), examples=[])
    for at, key in enumerate(keys.tolist()):
        outcome = _judge(entity, at, stored, places[key], logged, epoch)
        setattr(found, outcome, getattr(found, outcome) + 1)
        if outcome == "wrong" and len(found.examples) < 5:
            pos = int(stored.stamps[at, 0])
            found.examples.append({entity.join_key: key.decode(), "pos": pos})
    return found


def _judge(
    entity: Entity, at: int, stored: RowsRead, places: dict[int, int], logged: Floats, epoch: int
) -> str:
    views = len(entity.views)
    if not stored.present[at, :views].all():
        return "absent"
    if int(stored.epochs[at, 0]) != epoch:
        return "other_epoch"
    pos, last = int(stored.stamps[at, 0]), max(places)
    if pos > last:
        return "ahead"
    row = places.get(pos)
    if row is None:
        return "wrong"
    ours = np.ascontiguousarray(stored.values[at, : len(entity.columns)])
    same = (ours.view(np.uint64) == logged[row].view(np.uint64)) | (np.isnan(ours) & np.isnan(logged[row]))
    if not same.all():
        return "wrong"
    return "equal" if pos == last else "behind"
