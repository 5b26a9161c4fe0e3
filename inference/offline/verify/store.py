"""The online store against the feature log: each stored row is judged at the position it is stamped with.

So a row that is merely behind is told apart from a row that is wrong.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns
from features.definition import Entity
from features.feast_row import RowsRead
from inference.offline.lake.differences import differences, wrong_bits

Floats = NDArray[np.float64]
NOTHING: Mapping[bytes, Floats] = MappingProxyType({})


class StoreCompared(msgspec.Struct, kw_only=True):
    """One entity's rows in the store.

    `behind` rows are right as of an earlier position than the log's last, or as of the run's seed, `ahead`
    rows of a later one, or of a key none of whose rows can be judged yet (the lake is behind), `other_epoch`
    rows another run wrote; `wrong` rows differ at their own position.

    Lag and logic are told apart by the as-of place that a row is compared at: `at_newest` has the features
    that differ from the log's newest row of the key, `at_own_place` those that differ from the log at the
    place which the row is stamped with. What is only in the first is lag; what is in the second is a fault.
    `rows_behind_max` is how many rows of its key the most belated row has missed.
    """

    keys: int
    equal: int = 0
    behind: int = 0
    ahead: int = 0
    absent: int = 0
    other_epoch: int = 0
    wrong: int = 0
    rows_behind_max: int = 0
    at_newest: dict[str, dict[str, object]] = {}
    at_own_place: dict[str, dict[str, object]] = {}
    examples: list[dict[str, object]] = []

    @property
    def judged(self) -> int:
        """Return how many rows were compared at their own place."""
        return self.equal + self.behind + self.wrong


def compare_store(
    entity: Entity, keys: NDArray[np.bytes_], stored: RowsRead, rows: Columns, logged: Floats, epoch: int,
    begun: Mapping[bytes, Floats] = NOTHING,
) -> StoreCompared:  # fmt: skip
    """Return how the stored rows of `keys` stand to the log.

    Args:
        keys: shape (n,), in the order of `stored`.
        rows: log rows of these keys in log order, with `pos`; logged: (m, k) their values.
        epoch: the run's.
        begun: by key, the values (k,) that the run's seed put at position 0.
    """
    places: dict[bytes, dict[int, int]] = {}
    for at, (key, pos) in enumerate(zip(rows[entity.join_key].tolist(), rows["pos"].tolist(), strict=True)):
        places.setdefault(key, {})[pos] = at
    found, seeded = StoreCompared(keys=len(keys), examples=[]), set[int]()
    for at, key in enumerate(keys.tolist()):
        if key not in places:  # none of its rows can be judged yet
            found.ahead += 1
            continue
        outcome = _judge(entity, at, stored, places[key], logged, epoch)
        if outcome == "wrong" and _is_seed(entity, at, stored, begun.get(key)):
            outcome = "behind"
            seeded.add(at)
        setattr(found, outcome, getattr(found, outcome) + 1)
        if outcome == "wrong" and len(found.examples) < 5:
            pos = int(stored.stamps[at, 0])
            found.examples.append({entity.join_key: key.decode(), "pos": pos})
    _by_place(entity, found, stored, keys, places, logged, seeded)
    return found


def _by_place(
    entity: Entity, found: StoreCompared, stored: RowsRead, keys: NDArray[np.bytes_],
    places: dict[bytes, dict[int, int]], logged: Floats, seeded: set[int],
) -> None:  # fmt: skip
    """Compare what is stored with the log twice: at the key's newest place, and at the row's own."""
    width = len(entity.columns)
    known = [(at, places[key]) for at, key in enumerate(keys.tolist()) if key in places]
    order = [(at, mine, int(stored.stamps[at, 0])) for at, mine in known]
    placed = [(at, mine, pos) for at, mine, pos in order if pos in mine and at not in seeded]
    if not placed:
        return
    ours = np.ascontiguousarray(stored.values[[at for at, *_ in placed], :width])
    newest = logged[[mine[max(mine)] for _, mine, _ in placed]]
    own = logged[[mine[pos] for _, mine, pos in placed]]
    at_ms = stored.event_time_ms[[at for at, *_ in placed], 0]
    found.at_newest = differences(entity.columns, newest, ours, at_ms).differing()
    found.at_own_place = differences(entity.columns, own, ours, at_ms).differing()
    found.rows_behind_max = max(sum(other > pos for other in mine) for _, mine, pos in placed)


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
    if wrong_bits(stored.values[at, : len(entity.columns)], logged[row]).any():
        return "wrong"
    return "equal" if pos == last else "behind"


def _is_seed(entity: Entity, at: int, stored: RowsRead, begun: Floats | None) -> bool:
    """Tell whether a row at position 0 is what the run began with; the log's first row has that place too."""
    if begun is None or int(stored.stamps[at, 0]) != 0:
        return False
    return not wrong_bits(stored.values[at, : len(entity.columns)], begun).any()
