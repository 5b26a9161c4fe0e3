"""The learner's state: what was predicted, what was paid and what became of it, as far back as windows reach.

Nothing is joined when it comes: rows are kept as they are and joined when a moment is asked about. So the
answer is a function of which rows were read, whatever their order was, and labels that are late, repeated,
corrected or ahead of their event need no case of their own.

- An id that was used twice means its first event (the training set's rule).
- The label of an event at a moment is, of those known by then, the one with the newest label_time; of
  equal ones the last in the log of the highest partition (the training set's rule again).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length, take
from inference.learning.growing import Growing

UNKNOWN = -1
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_PREDICTIONS = {
    "key": np.uint64, "place": np.int64, "event_ms": np.int64, "score": np.float64, "decision": np.int8,
    "series": np.int16,
}  # fmt: skip
_SHADOWS = {"place": np.int64, "event_ms": np.int64, "score": np.float64, "series": np.int16}
_EVENTS = {
    "key": np.uint64, "place": np.int64, "event_ms": np.int64, "amount_minor": np.int64,
    "channel": np.int16, "country": np.int16,
}  # fmt: skip
_LABELS = {
    "key": np.uint64, "id": np.bytes_, "event_ms": np.int64, "label_ms": np.int64, "positive": np.int8,
    "source": np.int8, "partition": np.int32, "pos": np.int64, "fed": np.bool_, "told": np.bool_,
}  # fmt: skip


class LabelCounts(NamedTuple):
    """What came of the labels that are kept and known at a moment; they add up to `labels`.

    `judging` count, one an event; `replaced` gave way to a newer one; `repeated` say what is known already;
    `waiting` wait for their event; `unmatched` have waited as long as is declared.
    """

    labels: int
    judging: int
    replaced: int
    repeated: int
    waiting: int
    unmatched: int


class Ledger:
    """Predictions, shadow scores, events and labels of one run.

    Args:
        horizon_ms: how far behind the newest moment rows are kept.
    """

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self.predictions = Growing(_PREDICTIONS)
        self.shadows = Growing(_SHADOWS)
        self.events = Growing(_EVENTS)
        self.labels = Growing(_LABELS)
        self.clock_ms = 0  # the newest moment that is asked about or was read up to; moved by `advance`

    @property
    def cut_ms(self) -> int:
        """Return the moment before which rows are not kept."""
        return self.clock_ms - self._horizon_ms

    def add_labels(self, rows: Columns) -> None:
        """Take labels in."""
        none = np.zeros(length(rows), np.bool_)
        self.labels.add({**rows, "fed": none, "told": none})

    def advance(self, clock_ms: int) -> None:
        """Move the clock on and drop what is older than the horizon: all of it, so that answers do not
        depend on when it was dropped."""
        self.clock_ms = max(self.clock_ms, clock_ms)
        for rows, column in (
            (self.predictions, "event_ms"), (self.shadows, "event_ms"), (self.events, "event_ms"),
            (self.labels, "label_ms"),
        ):  # fmt: skip
            young = rows.columns()[column] > self.cut_ms
            if not young.all():
                rows.keep(young)

    def oldest_ms(self) -> int | None:
        """Return the earliest event time of a decision that is kept, None without one."""
        times = self.predictions.columns()["event_ms"]
        return int(times.min()) if len(times) else None

    def paid(self, after_ms: int, until_ms: int) -> Columns:
        """Return the decisions on events made in (after_ms, until_ms], each event's facts beside it.

        In order of (event_ms, place). `amount_minor` is -1 and the segments are -1 where features.log has
        not (yet) told of the event.
        """
        rows = self.predictions.columns()
        # A repeated id's first event may lie before the window, so repeats are found among all.
        first = _firsts(rows["key"], rows["event_ms"], rows["place"])
        within = first & (rows["event_ms"] > after_ms) & (rows["event_ms"] <= until_ms)
        found = take(rows, within)
        found = take(found, np.lexsort((found["place"], found["event_ms"])))
        facts = self.events.columns()
        at = _where(facts["place"], found["place"])
        for name in ("amount_minor", "channel", "country"):
            found[name] = _picked(facts[name], at, UNKNOWN)
        return found

    def shadow_scores(self, found: Columns) -> dict[int, NDArray[np.float64]]:
        """Return each shadow series' scores of the rows of `paid`, shape (n,), NaN where it gave none."""
        rows = self.shadows.columns()
        order = np.argsort(found["place"], kind="stable")
        at = np.searchsorted(found["place"][order], rows["place"])
        hit = at < len(order)
        hit[hit] = found["place"][order][at[hit]] == rows["place"][hit]
        scores: dict[int, NDArray[np.float64]] = {}
        for series in np.unique(rows["series"][hit]).tolist():
            mine = hit & (rows["series"] == series)
            column = np.full(length(found), np.nan)
            column[order[at[mine]]] = rows["score"][mine]
            scores[series] = column
        return scores

    def judged(self, found: Columns, known_ms: int) -> Columns:
        """Return the rows of `paid` with `positive` (0, 1, or -1 without a label), `label_ms` and `source`.

        Only labels known by `known_ms` count.
        """
        rows = self.labels.columns()
        latest = take(rows, _lasts(rows, rows["label_ms"] <= known_ms))
        at = _where(latest["key"], found["key"])
        return {
            **found,
            "positive": _picked(latest["positive"], at, UNKNOWN),
            "label_ms": _picked(latest["label_ms"], at, UNKNOWN),
            "source": _picked(latest["source"], at, UNKNOWN),
        }

    def newly_judging(self, known_ms: int) -> Columns:
        """Return labels that began to judge an event since the last call, in the order they became known.

        Each with the event's `score`, `decision`, `series` and `event_ms`; a correction comes again, as the
        error it now is.
        """
        rows = self.labels.columns()
        decided = self.predictions.columns()
        last = _lasts(rows, rows["label_ms"] <= known_ms)
        fresh = np.flatnonzero(last & ~rows["fed"])
        first = np.flatnonzero(_firsts(decided["key"], decided["event_ms"], decided["place"]))
        at = _where(decided["key"][first], rows["key"][fresh])
        fresh, at = fresh[at >= 0], first[at[at >= 0]]
        rows["fed"][fresh] = True
        order = np.lexsort((rows["key"][fresh], rows["label_ms"][fresh]))
        fresh, at = fresh[order], at[order]
        return {
            "label_ms": rows["label_ms"][fresh], "positive": rows["positive"][fresh],
            **{name: decided[name][at] for name in ("score", "decision", "series", "event_ms")},
        }  # fmt: skip

    def newly_unmatched(self, now_ms: int, wait_ms: int) -> Columns:
        """Return labels that have waited for their event long enough, once each, by (label_ms, key)."""
        rows = self.labels.columns()
        lost = np.flatnonzero(
            self._without_event(rows) & (rows["label_ms"] + wait_ms <= now_ms) & ~rows["told"]
        )
        rows["told"][lost] = True
        found = take(rows, lost)
        return take(found, np.lexsort((found["key"], found["label_ms"])))

    def count_labels(self, known_ms: int, wait_ms: int) -> LabelCounts:
        """Return what came of the labels known by a moment."""
        rows = self.labels.columns()
        known = rows["label_ms"] <= known_ms
        without = self._without_event(rows) & known
        lost = int((without & (rows["label_ms"] + wait_ms <= known_ms)).sum())
        judging = int((_lasts(rows, known) & ~without).sum())
        matched = known & ~without
        content = np.stack([rows["key"][matched], rows["label_ms"][matched].view(np.uint64)])
        says = rows["positive"][matched].astype(np.uint64) * np.uint64(4) + rows["source"][matched].astype(
            np.uint64
        )
        different = np.unique(np.vstack([content, says]), axis=1).shape[1] if matched.any() else 0
        repeated = int(matched.sum()) - different
        return LabelCounts(
            labels=int(known.sum()), judging=judging, replaced=different - judging, repeated=repeated,
            waiting=int(without.sum()) - lost, unmatched=lost,
        )  # fmt: skip

    def _without_event(self, rows: Columns) -> Mask:
        return _where(np.sort(self.predictions.columns()["key"]), rows["key"], ordered=True) < 0


def _firsts(key: NDArray[np.uint64], event_ms: Ints, place: Ints) -> Mask:
    """Return a mask of each key's first row by (event_ms, place)."""
    mask = np.zeros(len(key), np.bool_)
    order = np.lexsort((place, event_ms, key))
    mask[order[np.append(True, np.diff(key[order]) != 0)[: len(order)]]] = True
    return mask


def _lasts(rows: Columns, which: Mask) -> Mask:
    """Return a mask of each key's ruling label among `which`."""
    at = np.flatnonzero(which)
    order = at[np.lexsort((rows["pos"][at], rows["partition"][at], rows["label_ms"][at], rows["key"][at]))]
    mask = np.zeros(len(which), np.bool_)
    mask[order[np.append(np.diff(rows["key"][order]) != 0, True)[: len(order)]]] = True
    return mask


def _where(keys: NDArray[np.generic], wanted: NDArray[np.generic], *, ordered: bool = False) -> Ints:
    """Return where each wanted key is, -1 where it is not."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    order = np.arange(len(keys)) if ordered else np.argsort(keys, kind="stable")
    placed = keys if ordered else keys[order]
    at = np.minimum(np.searchsorted(placed, wanted), len(keys) - 1)
    return np.where(placed[at] == wanted, order[at], -1)


def _picked(column: NDArray[np.generic], at: Ints, default: int) -> NDArray[np.int64]:
    picked = np.full(len(at), default, np.int64)
    hit = at >= 0
    picked[hit] = column[at[hit]]
    return picked
