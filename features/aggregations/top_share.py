"""Top-k share: which share of the rows belongs to the k most frequent items.

State: for each tile at most `ITEMS_A_TILE` = 32 pairs of (hash64 of the item, count). A row of a kept item
adds one to its count; a new item takes a free place with count 1. When there is none, it takes the place of
the item with the least count c (of equals the greatest hash, as an unsigned number) and has the count c + 1
(Space-Saving).
Formula: float64(A) / float64(N), where the counts of an item are added over the tiles of the window, A is the
sum of the k greatest, and N the sum of all, which is the number of rows.
Empty: null.
Bound: 32 pairs a tile; counts under 2^53.
Error: none while no tile of the window saw more than 32 items; beyond, each item's count is off by at most
N/32, so the share is by at most k/32 in all, either way.
Order: the same order gives the same bits; while the tiles hold all their items any order does.
Source: Metwally, Agrawal and El Abbadi, Efficient Computation of Frequent and Top-k Elements in Data Streams,
2005.
"""

from contracts.errors import ConfigError
from features.aggregations.base import NULL, TILES, Aggregation, Op, State

ITEMS_A_TILE = 32
K_MAX = 8


class TopShare(Aggregation):
    """Share of the k most frequent items; a state is (item, count) pairs one after another (the exact part).

    Raises:
        ConfigError: E_AGGREGATION_K.

    >>> top = TopShare(k=1)
    >>> top.name, top.finalise(top.merge((7, 3), (7, 1, 9, 1)))
    ('top_1_share', 0.8)
    """

    op = Op.TOP_SHARE
    unit = "share"
    kept_over = TILES
    of_item = True

    def __init__(self, *, k: int) -> None:
        if not 1 <= k <= K_MAX:
            raise ConfigError("E_AGGREGATION_K", f"a top {k} share", "TopShare", f"give k from 1 to {K_MAX}")
        self.k = k

    @property
    def name(self) -> str:
        return f"top_{self.k}_share"

    def prepare(self, value: int) -> State:
        return (value, 1)

    def merge(self, left: State, right: State) -> State:
        counts: dict[int, int] = {}
        for state in (left, right):
            for item, count in zip(state[::2], state[1::2], strict=True):
                counts[item] = counts.get(item, 0) + count
        return tuple(number for pair in sorted(counts.items()) for number in pair)

    def finalise(self, state: State | None) -> float:
        if not state:
            return NULL
        counts = sorted(state[1::2], reverse=True)
        return float(sum(counts[: self.k])) / float(sum(counts))
