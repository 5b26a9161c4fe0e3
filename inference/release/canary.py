"""A canary under watch: it grows while its guardrails hold and is withdrawn when one breaks, to either side.

Each scorer judges by what it saw itself: the canary's last decisions beside what the champion says of the
very same events. A scorer that sees a guardrail break lets the champion decide from its next batch on,
and asks the registry to withdraw the canary for everybody. Growth is by decisions and event time, so a
replayed log grows it at the same events.
"""

from collections import deque
from typing import Literal, NamedTuple, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from features.project.decisions import Decisions
from inference.models.manifest import Limits, bands
from inference.release.arms import Arms
from inference.release.live import Live, LiveCanary, id_of
from inference.release.settings import CanarySettings

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Bins of the score distributions' distance. Below 1 % is one bin: no decision begins there, and two good
# models may well differ in how they order what neither would look at.
SCORE_EDGES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
BATCHES_KEPT = 200
BATCHES_MIN = 20
Z_95 = 1.96

log = structlog.get_logger(__name__)


class Breach(NamedTuple):
    """A guardrail that broke: what it measured, what it allows, over how many of the canary's decisions.

    `side` is where of the limit the value lies.
    """

    guardrail: str
    value: float
    limit: float
    decisions: int
    side: Literal["above", "below"] = "above"

    def __str__(self) -> str:
        """Return it in words.

        >>> print(Breach("psi", 1.5, 0.25, 200))
        psi 1.5 above 0.25 over 200 decisions
        """
        return f"{self.guardrail} {self.value:.4g} {self.side} {self.limit:g} over {self.decisions} decisions"


class CanaryKeeper(Protocol):
    """Changes the registry for a guard, and keeps its counts; no call waits."""

    def withdraw(self, canary: LiveCanary, breach: Breach) -> None:
        """Take the canary out of service, for all scorers."""

    def grow(self, canary: LiveCanary, share_percent: float) -> None:
        """Let the canary decide for more keys."""

    def count(self, version_id: str, scores: int, errors: int) -> None:
        """Add to a version's live figures."""


def psi(expected: Floats, actual: Floats) -> float:
    """Return the population stability index of two sets of scores over `SCORE_EDGES`.

    Siddiqi, Credit Risk Scorecards, 2006; half a row is added to each bin, so that an empty one is finite.

    >>> psi(np.full(100, 0.3), np.full(100, 0.3)), psi(np.full(100, 0.005), np.full(100, 0.95)) > 5
    (0.0, True)
    """
    shares = []
    for scores in (expected, actual):
        counts = np.bincount(np.searchsorted(SCORE_EDGES, scores), minlength=len(SCORE_EDGES) + 1) + 0.5
        shares.append(counts / counts.sum())
    before, after = shares
    return float(np.sum((after - before) * np.log(after / before)))


def flagged_ratio(champion: Mask, canary: Mask) -> tuple[float, float]:
    """Return how many events the canary flags for each that the champion flags, and how many it may be.

    The second is the upper end of a 95 % interval. The ratio is of two shares of the same events (Nam and
    Blackwelder, 2002: the logarithm's variance by the pairs that differ), with half an event added to each
    count so that none is 0.

    >>> ratio, upper = flagged_ratio(np.arange(1000) < 40, np.arange(1000) < 0)
    >>> round(ratio, 3), upper < 0.5
    (0.012, True)
    >>> flagged_ratio(np.arange(1000) < 4, np.arange(1000) < 0)[1] > 0.5  # too few to tell
    True
    """
    theirs, mine = champion.sum() + 0.5, canary.sum() + 0.5
    differ = (champion != canary).sum() + 0.5
    ratio = float(mine / theirs)
    return ratio, ratio * float(np.exp(Z_95 * np.sqrt(differ / (mine * theirs))))


class Window:
    """The canary's last decisions: its score (NaN where it failed) beside the champion's, and both bands."""

    def __init__(self, rows: int, decisions: Decisions) -> None:
        self._stopping, self._queued = decisions.stopping, decisions.queued
        self._pairs = np.empty((rows, 2))
        self._bands = np.empty((rows, 2), np.uint8)
        self._seen = 0
        self.flagged = 0
        self.batch_ms: deque[float] = deque(maxlen=BATCHES_KEPT)

    def add(self, champion: Floats, canary: Floats, limits: tuple[Limits, Limits]) -> None:
        """Add k events; scores are (k,), limits the champion's and the canary's thresholds."""
        size = len(self._pairs)
        self.flagged += int((bands(champion, limits[0]) > 0).sum())
        pairs = np.column_stack((champion, canary))[-size:]
        at = (self._seen + np.arange(len(pairs))) % size
        self._pairs[at] = pairs
        for side, own in enumerate(limits):
            self._bands[at, side] = bands(pairs[:, side], own)
        self._seen += len(pairs)

    @property
    def rows(self) -> int:
        """How many decisions it holds."""
        return min(self._seen, len(self._pairs))

    def breach(self, settings: CanarySettings) -> Breach | None:
        """Return the first guardrail that is broken, None while all hold or there is too little to tell."""
        if self.rows < settings.rows_min:
            return None
        pairs, bands = self._pairs[: self.rows], self._bands[: self.rows]
        both = ~np.isnan(pairs).any(axis=1)
        measured = {"failed_share": (float(np.isnan(pairs[:, 1]).mean()), settings.failed_share_max)}
        if both.any():
            champion, canary = bands[both, 0], bands[both, 1]

            def more(codes: tuple[int, ...]) -> float:
                return _share(canary, codes) - _share(champion, codes)

            measured |= {
                "psi": (psi(pairs[both, 0], pairs[both, 1]), settings.psi_max),
                "declined_more": (more(self._stopping), settings.declined_more_max),
                "declined_less": (-more(self._stopping), settings.declined_less_max),
                "reviewed_more": (more(self._queued), settings.reviewed_more_max),
                "reviewed_less": (-more(self._queued), settings.reviewed_less_max),
            }
        if len(self.batch_ms) >= BATCHES_MIN:
            p99_ms = float(np.percentile(self.batch_ms, 99))
            measured["predict_p99_ms"] = (p99_ms, settings.predict_p99_ms_max)
        for guardrail, (value, limit) in measured.items():
            if value > limit:
                return Breach(guardrail, value, limit, self.rows)
        return self._lets_pass(bands[both], settings.flagged_ratio_min)

    def _lets_pass(self, bands: NDArray[np.uint8], limit: float) -> Breach | None:
        """Return that the canary flags too little of what the champion flags, when that is sure."""
        ratio, upper = flagged_ratio(bands[:, 0] > 0, bands[:, 1] > 0)
        return Breach("flagged_ratio", ratio, limit, self.rows, "below") if upper < limit else None


def _share(bands: NDArray[np.uint8], codes: tuple[int, ...]) -> float:
    return float(np.isin(bands, codes).mean())


class _Step:
    """How far the present share has come."""

    def __init__(self, share_percent: float, begin_ms: int) -> None:
        self.share_percent, self.begin_ms = share_percent, begin_ms
        self.decisions, self.now_ms, self.asked = 0, begin_ms, False

    def add(self, decisions: int, event_ms: int) -> None:
        self.decisions += decisions
        self.now_ms = max(self.now_ms, event_ms)

    def is_done(self, settings: CanarySettings) -> bool:
        enough = self.decisions >= settings.step_decisions
        return enough and self.now_ms - self.begin_ms >= settings.step_event_ms


class CanaryGuard:
    """Watches one canary at a time; what it saw begins anew with another canary, champion or process."""

    def __init__(self, settings: CanarySettings, keeper: CanaryKeeper, decisions: Decisions) -> None:
        self._settings, self._keeper, self._decisions = settings, keeper, decisions
        self._watched: tuple[str, int, str] | None = None
        self._withdrawn: set[tuple[str, int]] = set()
        self._window = Window(settings.window_rows, decisions)
        self._step = _Step(0.0, 0)

    def allowed(self, live: Live) -> Live:
        """Return the models of the next batch, without a canary that was withdrawn here."""
        if live.canary is not None and _key(live.canary) in self._withdrawn:
            return live._replace(canary=None)
        return live

    def see(self, arms: Arms, event_ms: NDArray[np.int64]) -> None:
        """Take note of a batch: count everybody's scores, judge the canary, let it grow."""
        self._count(arms, len(event_ms))
        canary, champion = arms.live.canary, arms.live.champion
        if canary is None or champion is None or arms.champion is None:
            self._watched = None
            return
        now_ms = int(event_ms.max())
        self._begin((*_key(canary), id_of(champion)), canary.share_percent, now_ms)
        self._step.add(len(arms.assigned), now_ms)
        if not len(arms.assigned):
            return
        limits = (
            champion.thresholds.limits(self._decisions.names),
            canary.model.thresholds.limits(self._decisions.names),
        )
        self._window.add(arms.champion[arms.assigned], arms.canary, limits)
        self._window.batch_ms.append(arms.canary_ms)
        breach = self._window.breach(self._settings)
        if breach is not None:
            self._withdraw(canary, breach)
        elif self._step.is_done(self._settings) and self._window.flagged >= self._settings.flagged_min:
            self._grow(canary)

    def _count(self, arms: Arms, rows: int) -> None:
        if arms.live.champion is not None and arms.champion is not None:
            self._keeper.count(id_of(arms.live.champion), rows, int(np.isnan(arms.champion).sum()))
        for model, scores in zip(arms.live.shadows, arms.shadows, strict=True):
            self._keeper.count(id_of(model), rows, int(np.isnan(scores).sum()))
        if arms.live.canary is not None and len(arms.assigned):
            failed = int(np.isnan(arms.canary).sum())
            self._keeper.count(id_of(arms.live.canary.model), len(arms.assigned), failed)

    def _begin(self, watched: tuple[str, int, str], share_percent: float, now_ms: int) -> None:
        if watched != self._watched:
            self._watched = watched
            self._window = Window(self._settings.window_rows, self._decisions)
            self._step = _Step(share_percent, now_ms)
        elif share_percent != self._step.share_percent:
            self._step = _Step(share_percent, now_ms)

    def _withdraw(self, canary: LiveCanary, breach: Breach) -> None:
        self._withdrawn.add(_key(canary))
        log.error("canary_withdrawn", canary=id_of(canary.model), guardrail=breach.guardrail, why=str(breach))
        self._keeper.withdraw(canary, breach)

    def _grow(self, canary: LiveCanary) -> None:
        larger = [step for step in self._settings.steps if step > canary.share_percent]
        if larger and not self._step.asked:
            self._step.asked = True
            self._keeper.grow(canary, larger[0])


def _key(canary: LiveCanary) -> tuple[str, int]:
    return id_of(canary.model), canary.since_ms
