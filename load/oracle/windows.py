"""The definition of every stored feature, spelled out: all rows kept, nothing shared with the kernel.

Slow, and plainly right. It reads the declarations (names, windows, aggregations by their class name) and
recomputes each row's values from the list of all rows before it in log order.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from load.oracle import parts
from load.oracle.hashes import item_hash
from load.oracle.wire import RowFacts

TILED = ("Count", "Sum", "Mean", "Std", "Min", "Max", "Distinct")
OF_ROWS = ("Count", "SinceFirst", "SinceLast")
OF_ITEM = ("Distinct", "TopShare", "FirstSeen", "SameAsLast")
NULL = float("nan")
Of = tuple[str, str]  # what a feature is of: rows, a measure, a condition or an item, and which


class KeyOracle:
    """All rows of one key, in log order, and the answers the definition gives."""

    def __init__(self, entity: Any, items_max: int = 128) -> None:
        self.entity = entity
        self.items_max = items_max
        self.newest_ms: int | None = None
        self.views = [ViewOracle(view, items_max) for view in entity.views]

    @property
    def late(self) -> bool:
        """Whether the newest row was too old for every window of its view."""
        return any(view.late for view in self.views)

    def row(self, kind: int, row: Mapping[str, Any]) -> list[float]:
        """Return all columns of the entity as of `row`, which is folded in."""
        clock = row[times(self.entity)[kind]]
        self.newest_ms = clock if self.newest_ms is None else max(self.newest_ms, clock)
        now = self.newest_ms
        return [value for view in self.views for value in view.row(row if view.rows == kind else None, now)]

    def at(self, now_ms: int) -> list[float]:
        """Return all columns as of a moment, every row so far counted."""
        now = now_ms if self.newest_ms is None else max(self.newest_ms, now_ms)
        return [value for view in self.views for value in view.at(now)]


class ViewOracle:
    """The rows of one view of a key: one list of those that count for each thing that features are of."""

    def __init__(self, view: Any, items_max: int) -> None:
        self.view, self.rows = view, view.rows
        self.facts = RowFacts(view)
        self.longest = longest_ms(view)
        self.logs: dict[Of, list[dict[str, Any]]] = {of(view, f): [] for f in view.features}
        self.sketches = {what: Sketch(items_max) for what in self.logs}
        self.seen = {what: SeenItems(view, what) for what in self.logs if what[0] == "item"}
        self.late = False
        self.asked: dict[Any, list[dict[str, Any]]] = {}  # what was found since the last row

    def row(self, row: Mapping[str, Any] | None, now: int) -> list[float]:
        """Return the view's columns as of a row, or of none that is the view's, at the key's moment."""
        self.late = False
        self.asked.clear()
        before, compared = dict(self.logs), self._compared(row, now)
        if row is not None and self.facts.passes(row):
            self._count(row, now)
        return [
            value for i, f in enumerate(self.view.features)
            for value in compared.get(i) or self._columns(
                f, (self.logs if f.current else before)[of(self.view, f)], now
            )
        ]  # fmt: skip

    def _compared(self, row: Mapping[str, Any] | None, now: int) -> dict[int, list[float]]:
        """What compares a row with those before it, by the feature's place; null without its item."""
        found = {}
        for i, f in enumerate(self.view.features):
            name, what = type(f.aggregation).__name__, of(self.view, f)
            if name in ("SameAsLast", "FirstSeen"):
                counts = row is not None and self.facts.passes(row)
                item = self.facts.value(what, row) if row is not None and counts else None
                if item is None:
                    found[i] = [NULL]
                elif name == "SameAsLast":
                    found[i] = [parts.same_as_last(self.logs[what], item, self.longest, now)]
                else:
                    found[i] = [self.seen[what].answer(item, f.window, now)]
        return found

    def at(self, now: int) -> list[float]:
        """Return the view's columns as of a moment, every row so far counted."""
        compared = self._compared(None, now)
        return [
            value for i, f in enumerate(self.view.features)
            for value in compared.get(i) or self._columns(f, self.logs[of(self.view, f)], now)
        ]  # fmt: skip

    def _count(self, row: Mapping[str, Any], now: int) -> None:
        """Take a row in for whatever is not null in it, unless it is too old for every feature."""
        features, time_ms = self.view.features, row[self.view.time]
        values = {what: found for what in self.logs if (found := self.facts.value(what, row)) is not None}
        if values and time_ms < min(parts.horizon_ms(f, self.longest, now) for f in features):
            self.late = True
            return
        oldest = min((begin(f.window, now) for f in features if tiled(f)), default=now)
        for what, value in values.items():
            item = self.facts.item(self.view.item, row) if self.view.items == "replace" else None
            entry = {"ms": time_ms, "value": value, "item": item, "now": now, "of_ms": time_ms}
            if what[0] == "item":
                entry |= {"value": 0, "item": value}
            self._fold(what, entry, oldest)

    def _fold(self, what: Of, entry: dict[str, Any], oldest: int) -> None:
        rows = self.logs[what]
        if self.view.items == "replace":
            for i, earlier in enumerate(rows):
                if earlier["item"] == entry["item"] and earlier["ms"] >= oldest:
                    if entry["ms"] >= earlier["of_ms"]:
                        newer = {**earlier, "value": entry["value"], "of_ms": entry["ms"]}
                        self.logs[what] = [*rows[:i], newer, *rows[i + 1 :]]
                    return
        if what[0] == "item":
            self.seen[what].see(entry["item"], entry["ms"], entry["now"])
        if what[0] == "item" and entry["ms"] >= oldest:
            self.sketches[what].see(item_hash(entry["item"]), entry["ms"], oldest)
        self.logs[what] = [*rows, entry]

    def _columns(self, feature: Any, rows: list[dict[str, Any]], now: int) -> list[float]:
        aggregation, unit = feature.aggregation, self.facts.unit(of(self.view, feature))
        if type(aggregation).__name__ == "LastK":
            found = parts.last_k(rows, aggregation.width, self.longest, now)
        else:
            found = [self._feature(feature, rows, now)]
        return found if unit == 1 else [value / float(unit) for value in found]

    def _feature(self, feature: Any, rows: list[dict[str, Any]], now: int) -> float:
        name, window, longest = type(feature.aggregation).__name__, feature.window, self.longest
        if name == "DecayedSum":
            return parts.decayed_sum(rows, feature.aggregation.half_life_ms, now)
        if window is None:
            young = [row for row in sorted(rows, key=lambda row: row["ms"]) if now - row["ms"] <= longest]
            return parts.ENDS[name](young, now)
        if name == "Distinct":
            return self.sketches[of(self.view, feature)].count(begin(window, now))
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


class SeenItems:
    """When each item was seen last: the 256 newest of those that a window sees, by time and hash."""

    most = 256

    def __init__(self, view: Any, what: Of) -> None:
        names = [f for f in view.features if type(f.aggregation).__name__ == "FirstSeen"]
        self._windows = [f.window for f in names if of(view, f) == what]
        self._seen: dict[int, int] = {}
        self._passed: int | None = None  # the newest time of what was left out

    def see(self, item: Any, ms: int, now: int) -> None:
        """Note that an item was seen."""
        oldest = min((self._begin(window, now) for window in self._windows), default=math.inf)
        if ms < oldest:
            return
        name = item_hash(item)
        self._seen[name] = max(ms, self._seen.get(name, ms))
        live = sorted((at, name) for name, at in self._seen.items() if at >= oldest)
        for at, _ in live[: -self.most]:
            self._passed = at if self._passed is None else max(self._passed, at)
        self._seen = {name: at for at, name in live[-self.most :]}

    def answer(self, item: Any, window: Any, now: int) -> float:
        """1 for an item that was not seen in the window, 0 for one that was, null where nobody knows."""
        begin = self._begin(window, now)
        seen = self._seen.get(item_hash(item))
        if seen is not None and seen >= begin:
            return 0.0
        return NULL if self._passed is not None and self._passed >= begin else 1.0

    @staticmethod
    def _begin(window: Any, now: int) -> float:
        return -math.inf if window.kind == "lifetime" else begin(window, now)


def of(view: Any, feature: Any) -> Of:
    """What a feature is of, as its declaration names it or its view does."""
    name = type(feature.aggregation).__name__
    if feature.condition is not None:
        return "condition", feature.condition
    if name in OF_ROWS:
        return "rows", ""
    if name in OF_ITEM:
        return "item", feature.item or view.item
    return "measure", feature.measure or view.measure


def times(entity: Any) -> dict[int, str]:
    """The column of the time at which the rows of each source count."""
    named = {source.number: source.time for source in entity.sources}
    return {view.rows: view.time for view in entity.views} | named


def longest_ms(view: Any) -> int:
    """How long a row of the view may count."""
    return max(parts.reach_ms(feature) for feature in view.features)


def tiled(feature: Any) -> bool:
    """Whether a feature reads sawtooth tiles."""
    window = feature.window
    return window is not None and window.kind == "sawtooth" and type(feature.aggregation).__name__ in TILED


class ClockOracle:
    """A partition's clock, from the keys and times of its rows; see `features.partition_clock`."""

    rows = 32

    def __init__(self) -> None:
        self.now_ms: int | None = None
        self._open: list[tuple[Any, int]] = []

    def row(self, key: Any, time_ms: int) -> None:
        """Take a row in."""
        self._open.append((key, time_ms))
        if len(self._open) < self.rows:
            return
        newest: dict[Any, int] = {}
        for name, at_ms in self._open:
            newest[name] = max(at_ms, newest.get(name, at_ms))
        self._open = []
        if len(newest) >= 3:
            reached = sorted(newest.values())[len(newest) // 4]
            self.now_ms = reached if self.now_ms is None else max(self.now_ms, reached)


class PartitionOracle:
    """All keys of a partition: one idle too long, or dated ahead, begins again; see `features.idle`."""

    day_ms = 86_400_000

    def __init__(self, entity: Any) -> None:
        self.entity = entity
        reaches = [
            parts.reach_ms(f) + (f.window.hop_ms if f.window else 0) for v in entity.views for f in v.features
        ]
        self.idle_ms = self.day_ms + max(reaches)
        self.clock = ClockOracle()
        self.shown_ms: dict[Any, int | None] = {}
        self.keys: dict[Any, KeyOracle] = {}

    def row(self, kind: int, row: Mapping[str, Any]) -> list[float]:
        """Return all columns as of a row, which is folded in."""
        key = row[self.entity.join_key]
        time_ms = row[times(self.entity)[kind]]
        if key not in self.keys or self.is_idle(key) or self._was_ahead(key, time_ms):
            self.keys[key] = KeyOracle(self.entity)
        self.shown_ms[key] = self.clock.now_ms
        self.clock.row(key, time_ms)
        return self.keys[key].row(kind, row)

    def is_idle(self, key: Any) -> bool:
        """Whether nothing is known of a key any more."""
        if self.clock.now_ms is None:
            return False
        return self._newest_ms(key) < self.clock.now_ms - self.idle_ms

    def _was_ahead(self, key: Any, time_ms: int) -> bool:
        """Whether a key stands at a moment that nobody confirmed, and this row says that it was false."""
        sees_ms, shown_ms = (self.keys[key].newest_ms or 0) - self.idle_ms, self.shown_ms[key]
        return shown_ms is not None and shown_ms < sees_ms and time_ms < sees_ms

    def _newest_ms(self, key: Any) -> int:
        newest_ms, shown_ms = self.keys[key].newest_ms or 0, self.shown_ms[key]
        return newest_ms if shown_ms is None else max(newest_ms, shown_ms)


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
