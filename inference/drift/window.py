"""The last day of event time against a reference: panes of counts, and the statistics over their sum."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inference.drift.reference import Counts, Reference
from inference.drift.season import slots
from inference.drift.settings import DriftSettings, words
from inference.drift.statistics import STATISTICS, limits, share_limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NULLS = "null_rate"  # the detector's name where the share of null values has moved
PANE_CHANCE = 0.05  # a pane of a window that is over its limit is believed sooner
ONE_WAY = 1 / 3  # so much of the smallest change of a null share where training knew no null, or nothing else
KEEP_LEVEL = 0.8  # an alert is cleared under so much of its limit, so that it does not flicker


class Finding(NamedTuple):
    """One column over its limit at a look, or back under it; shares are those of null values, else NaN.

    Since when is asked of the window, `ReferenceWindow.since`, when it is to be told.
    """

    feature: str
    detector: str
    over: bool
    statistic: float
    limit: float
    rows: int
    expected: float
    observed: float


class ReferenceWindow:
    """Columns over the newest `window_ms` of event time, or over as many of them as hold enough rows.

    Nothing is said of a column before its oldest row here is from `full_from_ms` (k,) or later.

    >>> from inference.drift.baseline import measure
    >>> chance, hours = np.random.default_rng(1), np.arange(4000) * 60_000
    >>> usual = Reference(measure(["a"], chance.normal(size=(4000, 1)), hours).columns)
    >>> window = ReferenceWindow(usual, DriftSettings())
    >>> window.feed(chance.normal(size=(2000, 1)), hours[:2000])
    >>> window.look()
    []
    >>> window.feed(chance.normal(1, size=(2000, 1)), hours[2000:])
    >>> [(finding.detector, finding.over) for finding in window.look()]
    [('psi', True)]
    """

    def __init__(
        self, reference: Reference, settings: DriftSettings, full_from_ms: Ints | None = None
    ) -> None:
        self.reference, self._settings = reference, settings
        self.full_from_ms = np.zeros(len(reference.names), np.int64) if full_from_ms is None else full_from_ms
        self._names = words(settings.statistics)
        self._panes: dict[int, Counts] = {}
        self._total = self._empty()
        self._newest = 0
        self._since_look = 0

    def feed(self, matrix: Floats, event_ms: Ints, slot: Ints | None = None) -> None:
        """Take rows (m, k) of event times (m,) in; what is older than the window is passed over."""
        if not len(matrix):
            return
        slot = slots(event_ms) if slot is None else slot
        pane = event_ms // self._settings.pane_ms
        numbers, group = np.unique(pane, return_inverse=True)
        counts = self.reference.count_each(matrix, slot, group, len(numbers))
        oldest = min(self._panes, default=int(numbers[0]))
        for number, rows in zip(numbers.tolist(), counts, strict=True):
            if number < oldest:
                continue
            if number in self._panes:
                self._panes[number].add(rows)
            else:
                self._panes[number] = rows
            self._total.add(rows)
        self._newest = max(self._newest, int(numbers[-1]))
        self._since_look += len(matrix)
        self._drop_old()

    @property
    def due(self) -> bool:
        """Return whether enough rows have come since the last look, and for a look at all.

        A part of a day differs from a day by its hours, so nothing is said before a window is full.
        """
        settings = self._settings
        whole = len(self._panes) and self._newest - min(self._panes) + 1 >= self._panes_of(1)
        return bool(
            whole and self._since_look >= settings.look_rows and self._total.rows >= settings.rows_min
        )

    def look(self, open_alerts: Collection[tuple[str, str]] = ()) -> list[Finding]:
        """Return what is over its limit now, and which (detector, feature) asked for are back under it."""
        self._since_look = 0
        settings, reference, total = self._settings, self.reference, self._total
        expected = reference.expected(total)
        observed = reference.observed(total, expected.shares)
        nothing = np.full(len(reference.names), np.nan)
        found: list[Finding] = []
        for name in self._names:
            statistic = STATISTICS[name](observed, expected.shares)
            limit = limits(
                name, settings.effect_min, settings.chance_max, total.rows - total.nulls, expected.rows,
                reference.bins, reference.spread,
            )  # fmt: skip
            found += self._findings(name, (statistic, limit, nothing, nothing), open_alerts)
        share, usual = total.nulls / max(1, total.rows), expected.nulls
        least = settings.null_share_min * np.where(reference.one_way, ONE_WAY, 1.0)
        limit = share_limits(
            least, settings.chance_max, total.rows, expected.rows_all, usual, reference.null_spread
        )
        return found + self._findings(NULLS, (np.abs(share - usual), limit, usual, share), open_alerts)

    def _findings(
        self, name: str, figures: tuple[Floats, Floats, Floats, Floats], asked: Collection[tuple[str, str]]
    ) -> list[Finding]:
        """Make findings of statistic, limit, expected and observed, (k,) each, where there is one."""
        statistic, limit, expected, observed = figures
        full = self.full_from_ms <= min(self._panes) * self._settings.pane_ms
        over, back = full & (statistic > limit), full & (statistic < KEEP_LEVEL * limit)
        names = self.reference.names
        return [
            Finding(
                names[i], name, bool(over[i]), float(statistic[i]), float(limit[i]), self._total.rows,
                float(expected[i]), float(observed[i]),
            )
            for i in np.flatnonzero(over | back).tolist()
            if over[i] or (name, names[i]) in asked
        ]  # fmt: skip

    def since(self, finding: Finding) -> int:
        """Return where the row of panes begins that differ each by itself, up to the newest, epoch ms.

        One pane among them that does not may be chance, two are the end of it. This costs a look at every
        pane, so it is asked only for what is told.
        """
        column, name = self.reference.names.index(finding.feature), finding.detector
        since, alike = self._newest, 0
        for number in sorted(self._panes, reverse=True):
            if self._pane_differs(self._panes[number], column, name):
                since, alike = number, 0
            else:
                alike += 1
                if alike > 1:
                    break
        return since * self._settings.pane_ms

    def _pane_differs(self, pane: Counts, column: int, name: str) -> bool:
        expected, some = self.reference.expected(pane), slice(column, column + 1)
        if name == NULLS:
            moved = abs(pane.nulls[column] / max(1, pane.rows) - expected.nulls[column])
            least = ONE_WAY if self.reference.one_way[column] else 1.0
            return bool(moved > self._settings.null_share_min * least)
        observed = self.reference.observed(pane, expected.shares)
        statistic = STATISTICS[name](observed[column], expected.shares[column])
        limit = limits(
            name, self._settings.effect_min, PANE_CHANCE, pane.rows - pane.nulls[some], expected.rows[some],
            self.reference.bins[some], self.reference.spread[some],
        )  # fmt: skip
        return bool(statistic > limit[0])

    def _drop_old(self) -> None:
        """Drop what no window needs: as many whole windows are kept as hold enough rows."""
        numbers = sorted(self._panes)
        rows, times = 0, 1
        for number in reversed(numbers):
            if number <= self._newest - self._panes_of(times):
                if rows >= self._settings.rows_min:
                    break
                times = -(-(self._newest - number + 1) // self._panes_of(1))
            rows += self._panes[number].rows
        for number in numbers:
            if number > self._newest - self._panes_of(times):
                return
            self._total.add(self._panes.pop(number), -1)

    def _panes_of(self, times: int) -> int:
        """Return how many panes so many windows are."""
        return -(-times * self._settings.window_ms // self._settings.pane_ms)

    def _empty(self) -> Counts:
        return Counts.none(len(self.reference.names), self.reference.edges.shape[1] + 1)
