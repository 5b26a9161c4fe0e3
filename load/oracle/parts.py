"""The definition of the aggregations and windows that are kept beside the tiles, from all rows of a key.

A row is a dict of ms, value, item and now (the key's moment when the row came). Nothing is shared with the
service but the declarations: names of classes, and the numbers they were made with.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from load.oracle.hashes import item_hash

NULL = float("nan")
FOR_EVER = 2**62
Row = dict[str, Any]


def reach_ms(feature: Any) -> int:
    """How long after its time a row may count, 0 where the view's longest decides."""
    window, name = feature.window, type(feature.aggregation).__name__
    if name == "DecayedSum":
        return 20 * int(feature.aggregation.half_life_ms)
    if window is None or window.kind == "last":
        return 0
    if window.kind == "lifetime":
        return FOR_EVER
    return int(2 * window.length_ms if window.kind == "session" else window.length_ms + window.delay_ms)


def horizon_ms(feature: Any, longest_ms: int, now: int) -> float:
    """The earliest time of a row that the feature takes in at `now`."""
    window, name = feature.window, type(feature.aggregation).__name__
    if name == "DecayedSum":
        return now - 20 * int(feature.aggregation.half_life_ms)
    if window is None or window.kind in ("last", "session"):
        return now - longest_ms if longest_ms < FOR_EVER else -math.inf
    if window.kind == "lifetime":
        return -math.inf
    return float(math.floor((now - window.delay_ms - window.length_ms) / window.hop_ms) * window.hop_ms)


def inside(window: Any, rows: Sequence[Row], longest_ms: int, now: int) -> list[Row]:
    """The rows of a window at `now`, in order of time and then of the log."""
    by_time = sorted(rows, key=lambda row: row["ms"])
    if window.kind == "lifetime":
        return by_time
    if window.kind == "last":
        return [row for row in by_time if row["ms"] >= now - longest_ms][-window.rows :]
    if window.kind == "session":
        return session(rows, window.length_ms, longest_ms, now)
    begin = math.floor((now - window.delay_ms - window.length_ms) / window.hop_ms) * window.hop_ms
    end = now + 1
    if window.kind == "delayed":
        end = math.floor((now - window.delay_ms) / window.hop_ms) * window.hop_ms
    return [row for row in by_time if begin <= row["ms"] < end]


def split(rows: Sequence[Row], gap_ms: int) -> list[list[Row]]:
    """Rows in order of time, cut wherever more than the gap lies between two."""
    sessions: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row["ms"]):
        if sessions and row["ms"] - sessions[-1][-1]["ms"] <= gap_ms:
            sessions[-1].append(row)
        else:
            sessions.append([row])
    return sessions


def session(rows: Sequence[Row], gap_ms: int, longest_ms: int, now: int) -> list[Row]:
    """The running session: four are remembered, and none that is older than the longest window."""
    kept: list[Row] = []
    for row in rows:  # in log order
        oldest = row["now"] - longest_ms
        if row["ms"] < oldest:
            continue
        alive = [r for s in split(kept, gap_ms) if s[-1]["ms"] >= oldest for r in s]
        kept = [r for s in split([*alive, row], gap_ms)[-4:] for r in s]
    newest = split(kept, gap_ms)[-1:]
    return newest[0] if newest and now - newest[0][-1]["ms"] <= gap_ms else []


def first(rows: Sequence[Row], now: int) -> float:
    """The oldest value."""
    return float(rows[0]["value"]) if rows else NULL


def since_first(rows: Sequence[Row], now: int) -> float:
    """The time since the oldest row."""
    return float(now - rows[0]["ms"]) if rows else NULL


def last(rows: Sequence[Row], now: int) -> float:
    """The newest value."""
    return float(rows[-1]["value"]) if rows else NULL


def since_last(rows: Sequence[Row], now: int) -> float:
    """The time since the newest row."""
    return float(now - rows[-1]["ms"]) if rows else NULL


ENDS: dict[str, Callable[[Sequence[Row], int], float]] = {
    "First": first, "SinceFirst": since_first, "Last": last, "SinceLast": since_last
}  # fmt: skip


def last_k(rows: Sequence[Row], k: int, longest_ms: int, now: int) -> list[float]:
    """The k newest values, newest first."""
    young = [row for row in sorted(rows, key=lambda row: row["ms"]) if row["ms"] >= now - longest_ms]
    newest = [float(row["value"]) for row in young[-k:]][::-1]
    return newest + [NULL] * (k - len(newest))


def same_as_last(rows: Sequence[Row], item: Any, longest_ms: int, now: int) -> float:
    """Whether the newest row that is not too old has the item; null without one."""
    young = [row for row in sorted(rows, key=lambda row: row["ms"]) if row["ms"] >= now - longest_ms]
    return float(young[-1]["item"] == item) if young else NULL


def quantile(values: Sequence[int], per_mille: int) -> float:
    """The middle of the bucket in which the value of that rank lies."""
    if not values:
        return NULL
    rank = max(1, math.ceil(len(values) * per_mille / 1000))
    value = sorted(values)[rank - 1]
    width = 1
    while value // width >= 64:
        width *= 2
    least = value // width * width
    return float(least + (least + width - 1)) / 2


def top_share(rows: Sequence[Row], window: Any, k: int) -> float:
    """Space-Saving in each tile, in log order; counts of an item added over the tiles."""
    tiles: dict[int, dict[int, int]] = {}
    for row in rows:
        kept = tiles.setdefault(0 if window.kind == "lifetime" else row["ms"] // window.hop_ms, {})
        item = item_hash(row["item"])
        if item not in kept and len(kept) == 32:
            rarest = min(kept, key=lambda other: (kept[other], -other))
            kept[item] = kept.pop(rarest) + 1
        else:
            kept[item] = kept.get(item, 0) + 1
    total: dict[int, int] = {}
    for kept in tiles.values():
        for item, count in kept.items():
            total[item] = total.get(item, 0) + count
    counts = sorted(total.values(), reverse=True)
    return float(sum(counts[:k])) / float(sum(counts)) if counts else NULL


def growth(rest: int, half_life: int) -> float:
    """2^(rest / half_life): the product of the roots of 2 at the set bits of a 40-bit fraction."""
    bits = (rest << 40) // half_life
    product, root = 1.0, 2.0
    for j in range(39, -1, -1):
        root = math.sqrt(root)
        if bits >> j & 1:
            product = product * root
    return product


def decayed_sum(rows: Sequence[Row], half_life: int, now: int) -> float:
    """The page's steps, in log order."""
    newest, halvings, total = None, 0, 0.0
    for row in rows:
        oldest = row["now"] - 20 * half_life
        if row["ms"] < oldest:
            continue
        if newest is not None and newest < oldest:
            newest, halvings, total = None, 0, 0.0
        i, rest = divmod(row["ms"], half_life)
        if i > halvings:
            total, halvings = math.ldexp(total, halvings - i), i
        total += math.ldexp(float(row["value"]) * growth(rest, half_life), i - halvings)
        newest = row["ms"] if newest is None else max(newest, row["ms"])
    if newest is None or newest < now - 20 * half_life:
        return 0.0
    return math.ldexp(total, halvings - now // half_life) / growth(now % half_life, half_life)
