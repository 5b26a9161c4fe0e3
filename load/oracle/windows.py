"""The definition of every stored feature, spelled out: all rows kept, nothing shared with the kernel.

Slow, and plainly right. It reads the declarations (names, windows, aggregations by their class name) and
recomputes each row's values from the list of all rows before it in log order.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from load.oracle import parts
from load.oracle.hashes import fnv_splitmix

TILED = ("Count", "Sum", "Mean", "Std", "Min", "Max", "Distinct")
NULL = float("nan")


class KeyOracle:
    """All rows of one key, in log order, and the answers the definition gives."""

    def __init__(self, entity: Any, items_max: int = 128) -> None:
        self.entity = entity
        self.items_max = items_max
        self.newest_ms: int | None = None
        self.folded: dict[str, list[dict[str, Any]]] = {view.name: [] for view in entity.views}
        self.sketch: dict[str, Sketch] = {view.name: Sketch(items_max) for view in entity.views}
        self.longest_ms = {view.name: longest_ms(view) for view in entity.views}
        self.late = False
        self.asked: dict[Any, list[dict[str, Any]]] = {}  # what was found since the last row

    def row(self, kind: int, row: Mapping[str, Any]) -> list[float]:
        """Return all columns of the entity as of `row`, which is folded in."""
        clock = next(row[view.time] for view in self.entity.views if view.rows == kind)
        self.newest_ms = clock if self.newest_ms is None else max(self.newest_ms, clock)
        out: list[float] = []
        self.late = False
        self.asked.clear()
        for view in self.entity.views:
            out += self._view(view, row if view.rows == kind else None)
        return out

    def at(self, now_ms: int) -> list[float]:
        """Return all columns as of a moment, every row so far counted."""
        now = now_ms if self.newest_ms is None else max(self.newest_ms, now_ms)
        return [
            value for view in self.entity.views for f in view.features
            for value in self._columns(view, f, self.folded[view.name], now)
        ]  # fmt: skip

    def _view(self, view: Any, row: Mapping[str, Any] | None) -> list[float]:
        now = self.newest_ms
        assert now is not None
        horizon = min(parts.horizon_ms(f, self.longest_ms[view.name], now) for f in view.features)
        before = list(self.folded[view.name])
        if row is not None and row[view.time] < horizon:
            self.late = True
            row = None
        if row is not None:
            tiles = [begin(f.window, now) for f in view.features if tiled(f)]
            self._fold(view, row, min(tiles, default=now))
        after = self.folded[view.name]
        return [
            value for f in view.features
            for value in self._columns(view, f, after if f.current else before, now)
        ]  # fmt: skip

    def _fold(self, view: Any, row: Mapping[str, Any], horizon: int) -> None:
        rows = self.folded[view.name]
        entry = {
            "ms": row[view.time], "value": int(row[view.measure]), "item": row.get(view.item),
            "now": self.newest_ms,
        }  # fmt: skip
        if view.items == "replace":
            for i, earlier in enumerate(rows):
                if earlier["item"] == entry["item"] and earlier["ms"] >= horizon:
                    self.folded[view.name] = [*rows[:i], {**earlier, "value": entry["value"]}, *rows[i + 1 :]]
                    return
        if view.items == "distinct" and entry["ms"] >= horizon:
            self.sketch[view.name].see(fnv_splitmix(entry["item"]), entry["ms"], horizon)
        self.folded[view.name] = [*rows, entry]

    def _columns(self, view: Any, feature: Any, rows: list[dict[str, Any]], now: int) -> list[float]:
        aggregation = feature.aggregation
        if type(aggregation).__name__ == "LastK":
            return parts.last_k(rows, aggregation.width, self.longest_ms[view.name], now)
        return [self._feature(view, feature, rows, now)]

    def _feature(self, view: Any, feature: Any, rows: list[dict[str, Any]], now: int) -> float:
        name, window, longest = type(feature.aggregation).__name__, feature.window, self.longest_ms[view.name]
        if name == "DecayedSum":
            return parts.decayed_sum(rows, feature.aggregation.half_life_ms, now)
        if window is None:
            young = [row for row in sorted(rows, key=lambda row: row["ms"]) if now - row["ms"] <= longest]
            return parts.ENDS[name](young, now)
        if name == "Distinct":
            return self.sketch[view.name].count(begin(window, now))
        asked = (id(rows), window.label, window.hop_ms, now)
        if asked not in self.asked:
            self.asked[asked] = parts.inside(window, rows, longest, now)
        counted = self.asked[asked]
        if name in parts.ENDS:
            return parts.ENDS[name](counted, now)
        if name == "Quantile":
            return parts.quantile([row["value"] for row in counted], feature.aggregation.per_mille)
        if name == "TopShare":
            found = {id(row) for row in counted}
            in_log_order = [row for row in rows if id(row) in found]
            return parts.top_share(in_log_order, window, feature.aggregation.k)
        return fold(name, [row["value"] for row in counted])


def longest_ms(view: Any) -> int:
    """How long a row of the view may count."""
    return max(parts.reach_ms(feature) for feature in view.features)


def tiled(feature: Any) -> bool:
    """Whether a feature reads sawtooth tiles."""
    window = feature.window
    return window is not None and window.kind == "sawtooth" and type(feature.aggregation).__name__ in TILED


class PartitionOracle:
    """All keys of a partition: a key that was idle too long begins again; see `features.idle`."""

    day_ms = 86_400_000

    def __init__(self, entity: Any) -> None:
        self.entity = entity
        reaches = [
            parts.reach_ms(f) + (f.window.hop_ms if f.window else 0) for v in entity.views for f in v.features
        ]
        self.idle_ms = self.day_ms + max(reaches)
        self.newest_ms = -(2**63)
        self.arrival_ms: dict[Any, int] = {}
        self.keys: dict[Any, KeyOracle] = {}

    def row(self, kind: int, row: Mapping[str, Any]) -> list[float]:
        """Return all columns as of a row, which is folded in."""
        key = row[self.entity.join_key]
        clock = next(row[view.time] for view in self.entity.views if view.rows == kind)
        self.newest_ms = max(self.newest_ms, clock)
        oracle = self.key(key)
        self.arrival_ms[key] = self.newest_ms
        return oracle.row(kind, row)

    def key(self, key: Any) -> KeyOracle:
        """Return what is known of a key: nothing when it is idle."""
        if key not in self.keys or self.arrival_ms[key] < self.newest_ms - self.idle_ms:
            self.keys[key], self.arrival_ms[key] = KeyOracle(self.entity), self.newest_ms
        return self.keys[key]


def begin(window: Any, at_ms: int) -> int:
    """The tail of a sawtooth window."""
    return int((at_ms - window.length_ms) // window.hop_ms * window.hop_ms)


def fold(name: str, values: Iterable[int]) -> float:
    """One formula an aggregation, on exact integers."""
    values = list(values)
    n, total = len(values), sum(values)
    if name == "Count":
        return float(n)
    if name == "Sum":
        return float(total)
    if n == 0:
        return NULL
    if name == "Mean":
        return float(total) / float(n)
    if name == "Std":
        return math.sqrt(float(n * sum(v * v for v in values) - total * total)) / float(n)
    return float({"Min": min, "Max": max}[name](values))


class Sketch:
    """The bounded list of the distinct count, as its page describes it."""

    def __init__(self, items_max: int) -> None:
        self.items_max = items_max
        self.seen: dict[int, int] = {}
        self.threshold: int | None = None
        self.passed_ms = -(2**63)

    def see(self, item: int, ms: int, oldest_ms: int) -> None:
        if self.threshold is not None and self.passed_ms < oldest_ms:
            self.threshold = None
        if self.threshold is not None and item >= self.threshold:
            self.passed_ms = max(self.passed_ms, ms)
        elif item in self.seen:
            self.seen[item] = max(self.seen[item], ms)
        else:
            self._add(item, ms, oldest_ms)

    def _add(self, item: int, ms: int, oldest_ms: int) -> None:
        live = {key: at for key, at in self.seen.items() if at >= oldest_ms}
        if len(live) < self.items_max:
            self.seen = {**live, item: ms}
            return
        everyone = {**live, item: ms}
        self.threshold = max(everyone)
        self.passed_ms = max(self.passed_ms, everyone.pop(self.threshold))
        self.seen = everyone

    def count(self, since_ms: int) -> float:
        inside = sum(at >= since_ms for at in self.seen.values())
        if self.threshold is None:
            return float(inside)
        return float(inside) / (float(self.threshold) * 2.0**-64)
