"""Counts of (tile, bucket) and (tile, item): quantiles and top-k shares over windows of tiles.

An entry is [tile number, bucket or hash64, count]. A level is one hop and one of the two kinds. The rules are
the pages' (`features.aggregations.quantile`, `features.aggregations.top_share`): at most 1,856 buckets, or 32
items, a tile, and as many tiles as the windows can see.
"""

import numpy as np

from features import blocks
from features.aggregations import Op, Quantile, TopShare
from features.aggregations.quantile import BUCKETS, bucket_of, middle_of, rank_of
from features.aggregations.top_share import ITEMS_A_TILE, K_MAX
from features.blocks import BlockPart, Blocks, BlockStore
from features.compiled import compiled_part
from features.definition import Feature
from features.part import Batch, Bools, Columns, Floats, Ints, Told, columns_of
from features.span_part import Spans, bounds, spans_of, valid_until

_WIDTH = 3
_QUANTILE = int(Op.QUANTILE)


class SketchPart(BlockPart):
    """The part that keeps counts of buckets and items; see the module."""

    def __init__(self, features: tuple[Feature, ...]) -> None:
        kinds = [int(f.aggregation.op) for f in features]
        self.spans, windows = spans_of(features, kinds)
        order = np.argsort(windows, kind="stable").tolist()
        self.features = tuple(features[i] for i in order)
        self.columns = columns_of(
            self.features, [windows[i] for i in order], [_parameter(f) for f in self.features]
        )
        self.of_items = np.zeros(len(self.spans.hop_ms), np.bool_)
        for kind, window in zip(kinds, windows, strict=True):
            self.of_items[self.spans.level[window]] = kind != _QUANTILE
        self.store = BlockStore(len(self.spans.hop_ms), _WIDTH)

    def apply(self, batch: Batch, told: Told) -> None:
        """Fold the rows in and write each one's answers."""
        done = 0
        while True:
            plan = (self.spans, self.columns, self.of_items)
            done = _apply(plan, self.store.blocks, batch, done, told)
            if done == len(batch.slot):
                return
            self.store.grow_arena()

    def valid_until_ms(self, slots: Ints, at_ms: Ints, out: Ints) -> None:
        """Lower `out` to the first moment at which a tile enters or leaves a window."""
        valid_until(self.spans, self.store.blocks, _WIDTH, (slots, at_ms), out)


def _parameter(feature: Feature) -> int:
    aggregation = feature.aggregation
    if isinstance(aggregation, Quantile):
        return aggregation.per_mille
    assert isinstance(aggregation, TopShare)
    return aggregation.k


@compiled_part()
def _lower(b: Blocks, level: int, slot: int, number: int, item: int) -> int:
    """Return the first entry that is not before (number, item)."""
    at, low, high = b.at[level, slot], 0, b.used[level, slot]
    while low < high:
        middle = (low + high) // 2
        e = at + middle * _WIDTH
        if b.words[e] < number or (b.words[e] == number and b.words[e + 1] < item):
            low = middle + 1
        else:
            high = middle
    return low


@compiled_part()
def _tile(b: Blocks, level: int, slot: int, number: int) -> tuple[int, int]:
    """Return the first entry of a tile, and the first one behind it."""
    at, used = b.at[level, slot], b.used[level, slot]
    end = used
    while end > 0 and b.words[at + (end - 1) * _WIDTH] > number:
        end -= 1
    begin = end
    while begin > 0 and b.words[at + (begin - 1) * _WIDTH] == number:
        begin -= 1
    return begin, end


@compiled_part()
def _open(b: Blocks, level: int, slot: int, i: int, number: int, item: int) -> None:
    e = blocks.open_entry(b, _WIDTH, level, slot, i)
    b.words[e], b.words[e + 1], b.words[e + 2] = number, item, 1


@compiled_part()
def _count_bucket(b: Blocks, level: int, slot: int, number: int, bucket: int) -> None:
    i = _lower(b, level, slot, number, bucket)
    e = b.at[level, slot] + i * _WIDTH
    if i < b.used[level, slot] and b.words[e] == number and b.words[e + 1] == bucket:
        b.words[e + 2] += 1
    else:
        _open(b, level, slot, i, number, bucket)


@compiled_part()
def _count_item(b: Blocks, level: int, slot: int, number: int, item: int) -> None:
    """Count an item of a tile, in the place of the rarest one when there is no other."""
    begin, end = _tile(b, level, slot, number)
    at = b.at[level, slot]
    rarest = at + begin * _WIDTH
    for i in range(begin, end):
        e = at + i * _WIDTH
        if b.words[e + 1] == item:
            b.words[e + 2] += 1
            return
        fewer = b.words[e + 2] < b.words[rarest + 2]
        as_few = b.words[e + 2] == b.words[rarest + 2]
        if fewer or (as_few and np.uint64(b.words[e + 1]) > np.uint64(b.words[rarest + 1])):
            rarest = e
    if end - begin < ITEMS_A_TILE:
        _open(b, level, slot, end, number, item)
        return
    b.words[rarest + 1] = item
    b.words[rarest + 2] += 1


@compiled_part()
def _insert(
    spans: Spans, of_items: Bools, b: Blocks, where: tuple[int, int], row: tuple[int, int, int]
) -> bool:
    """Count a row (time, value, item) in its tile of each level that sees it; say if there was one."""
    slot, at_ms = where
    folded = False
    for level in range(len(spans.hop_ms)):
        number = row[0] // spans.hop_ms[level]
        first = (at_ms - spans.keep_ms[level]) // spans.hop_ms[level]
        if number < first:
            continue
        folded = True
        blocks.forget_when_full(b, _WIDTH, level, slot, first)
        if of_items[level]:
            _count_item(b, level, slot, number, row[2])
        else:
            _count_bucket(b, level, slot, number, bucket_of(row[1]))
    return folded


@compiled_part()
def _entries(spans: Spans, b: Blocks, w: int, where: tuple[int, int]) -> tuple[int, int]:
    """Return the entries of window `w` for (slot, moment): the first, and the first one behind."""
    first, end = bounds(spans, w, where[1])
    level, least = spans.level[w], np.iinfo(np.int64).min
    return _lower(b, level, where[0], first, least), _lower(b, level, where[0], end, least)


@compiled_part()
def _histogram(b: Blocks, level: int, slot: int, entries: tuple[int, int], counts: Ints) -> int:
    """Add the window's counts up by bucket and return how many rows there are."""
    counts[:] = 0
    rows = 0
    for i in range(entries[0], entries[1]):
        e = b.at[level, slot] + i * _WIDTH
        counts[b.words[e + 1]] += b.words[e + 2]
        rows += b.words[e + 2]
    return rows


@compiled_part()
def _quantile(counts: Ints, rows: int, per_mille: int) -> float:
    """Return the middle of the bucket that holds the quantile."""
    if rows == 0:
        return np.nan
    left, bucket = rank_of(rows, per_mille) - counts[0], 0
    while left > 0:
        bucket += 1
        left -= counts[bucket]
    return float(middle_of(bucket))


@compiled_part()
def _sort(items: Ints, seen: Ints) -> None:
    """Sort both by item, in place (Shell's way: no memory, and quick to compile)."""
    step = len(items) // 2
    while step > 0:
        for i in range(step, len(items)):
            item, count, j = items[i], seen[i], i
            while j >= step and items[j - step] > item:
                items[j], seen[j] = items[j - step], seen[j - step]
                j -= step
            items[j], seen[j] = item, count
        step //= 2


@compiled_part()
def _top(b: Blocks, level: int, slot: int, entries: tuple[int, int], greatest: Ints) -> int:
    """Write the greatest counts of an item, greatest first, and return how many rows there are."""
    greatest[:] = 0
    n, at = entries[1] - entries[0], b.at[level, slot] + entries[0] * _WIDTH
    items, seen = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        items[i], seen[i] = b.words[at + i * _WIDTH + 1], b.words[at + i * _WIDTH + 2]
    _sort(items, seen)
    rows, i = 0, 0
    while i < n:
        count, item = 0, items[i]
        while i < n and items[i] == item:
            count += seen[i]
            i += 1
        rows += count
        for j in range(K_MAX):
            if count > greatest[j]:
                count, greatest[j] = greatest[j], count
    return rows


@compiled_part()
def _answer(
    plan: tuple[Spans, Columns, Bools],
    b: Blocks,
    where: tuple[int, int],
    current: bool,
    out: Floats,
    scratch: tuple[Ints, Ints],
) -> None:
    """Write the columns that do (or do not) count the current row, for (slot, moment)."""
    spans, c, of_items = plan
    counts, greatest = scratch
    window, rows = -1, 0
    for i in range(len(c.op)):
        if c.current[i] != current:
            continue
        level = spans.level[c.window[i]]
        if c.window[i] != window:
            window = c.window[i]
            entries = _entries(spans, b, window, where)
            if of_items[level]:
                rows = _top(b, level, where[0], entries, greatest)
            else:
                rows = _histogram(b, level, where[0], entries, counts)
        if not of_items[level]:
            out[i] = _quantile(counts, rows, c.param[i])
        else:
            out[i] = float(np.sum(greatest[: c.param[i]])) / float(rows) if rows > 0 else np.nan


@compiled_part(nogil=True)
def _apply(plan: tuple[Spans, Columns, Bools], b: Blocks, batch: Batch, begin: int, told: Told) -> int:
    """Fold rows[begin:] in and return how many are done; less than n means that the arena is full."""
    spans, _, of_items = plan
    scratch = (np.empty(BUCKETS, np.int64), np.empty(K_MAX, np.int64))
    for r in range(begin, len(batch.slot)):
        where = (batch.slot[r], batch.at_ms[r])
        if not blocks.has_room(b, _WIDTH, where[0]):
            return r
        _answer(plan, b, where, False, told.values[r], scratch)
        if batch.folds[r]:
            row = (batch.time_ms[r], batch.value[r], int(np.int64(batch.item[r])))
            told.late[r] = not _insert(spans, of_items, b, where, row)
        _answer(plan, b, where, True, told.values[r], scratch)
    return len(batch.slot)
