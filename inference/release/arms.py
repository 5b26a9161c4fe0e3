"""The scores of a batch by everyone in service: who decides each event, and what the others would say.

A canary decides for the keys that its version's hash assigns to it; the champion decides for the rest,
and for a event whose canary gives no usable score. Shadows score everything and decide nothing. The
champion scores everything too, so that a canary is compared with it on the very same events.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.keys import hash64
from inference.models.manifest import RowLimits, Thresholds
from inference.models.model import Model
from inference.release.live import Live, id_of
from runtime.clock import Clock

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Clears = Callable[[Model], Mask | None]

PARTS = 1_000_000  # a share is so many millionths of the keys
NO_ROWS = np.empty(0, np.int64)
NO_SCORES = np.empty(0)

log = structlog.get_logger(__name__)


class Arms(NamedTuple):
    """Scores of n events.

    Args:
        scores: (n,) what decides, NaN where nobody gave a score; None without a champion.
        champion: (n,) the champion's own; the same array as `scores` unless a canary decides some.
        drawn: positions of the events whose keys are the canary's.
        assigned: those of them that it is asked to score, (k,).
        canary: (k,) its scores of them, NaN where it gave none.
        decided: positions of what it decides.
        cleared: (n,) events that whoever decides them need not score; None when all must be.
        shadows: (s, n) of the shadows in order, NaN where one gave none.
        predict_ms, canary_ms, shadow_ms: time of the predictions.
    """

    live: Live
    scores: Floats | None
    champion: Floats | None
    drawn: Ints = NO_ROWS
    assigned: Ints = NO_ROWS
    canary: Floats = NO_SCORES
    decided: Ints = NO_ROWS
    cleared: Mask | None = None
    shadows: tuple[Floats, ...] = ()
    predict_ms: float = 0.0
    canary_ms: float = 0.0
    shadow_ms: float = 0.0

    def limits(self, decisions: Sequence[str]) -> RowLimits:
        """Return from which scores each row is decided how: by those of the model that decides it."""
        champion, canary = self.live.champion, self.live.canary
        if champion is None:
            return Thresholds().limits(decisions)
        usual = champion.thresholds.limits(decisions)
        if canary is None or not len(self.decided) or self.scores is None:
            return usual
        limits = [np.full(len(self.scores), limit) for limit in usual]
        for limit, own in zip(limits, canary.model.thresholds.limits(decisions), strict=True):
            limit[self.decided] = own
        return limits

    def deciding(self, rows: Ints) -> list[tuple[Model | None, Ints]]:
        """Return the models that decide the named rows, each with the places among them that are its own."""
        champion, canary = self.live.champion, self.live.canary
        if canary is None or not len(self.decided):
            return [(champion, np.arange(len(rows)))]
        of_canary = np.isin(rows, self.decided)
        both: list[tuple[Model | None, Ints]] = [
            (champion, np.flatnonzero(~of_canary)),
            (canary.model, np.flatnonzero(of_canary)),
        ]
        return [(model, places) for model, places in both if len(places)]


def _nothing(_: Model) -> None:
    """Clear nothing."""


def score_arms(
    live: Live, keys: NDArray[np.bytes_], vectors: Floats, clock: Clock, clears: Clears = _nothing
) -> Arms:
    """Return everybody's scores of n events; vectors are (n, f).

    Whatever a canary or a shadow does, it costs the others nothing but time.

    Args:
        clears: says of a model which events, (n,), it need not score where it decides; None is all must be.
    """
    begin_ms = clock.elapsed_ms()
    arms = Arms(live, None, None)
    if live.champion is not None:
        cleared = clears(live.champion)
        champion = scores_but(live.champion, vectors, cleared)
        arms = arms._replace(scores=champion, champion=champion, cleared=cleared)
    champion_ms = clock.elapsed_ms()
    arms = arms._replace(predict_ms=champion_ms - begin_ms)
    if live.canary is not None and live.champion is not None:
        arms = _with_canary(arms, keys, vectors, clears(live.canary.model))
        arms = arms._replace(canary_ms=clock.elapsed_ms() - champion_ms)
    if live.shadows:
        begin_ms = clock.elapsed_ms()
        shadows = tuple(usable_scores(model, vectors) for model in live.shadows)
        arms = arms._replace(shadows=shadows, shadow_ms=clock.elapsed_ms() - begin_ms)
    return arms


def assigned_to(experiment: str, share_percent: float, keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Return which keys are the canary's: a function of key, canary's version and share alone.

    A larger share keeps the keys of a smaller one. The key's 64-bit hash is combined with the
    version's and finalised once more (SplitMix64), so that another canary draws other keys.

    >>> keys = np.array([b"c1", b"c2", b"c3", b"c4"])
    >>> assigned_to("risk/0003-ab", 50, keys).tolist()
    [True, True, False, True]
    """
    mixed = hash64(keys) ^ hash64(np.array([experiment.encode()]))[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed % np.uint64(PARTS) < np.uint64(round(share_percent / 100 * PARTS)))


def usable_scores(model: Model, vectors: Floats) -> Floats:
    """Return the model's scores, NaN for each that is no probability; a failing model gives NaN for all."""
    about = {"model": id_of(model), "stage": model.identity.stage}
    try:
        scores = model.predict(vectors)
    except Exception:  # whatever a model does, the events are decided: by rules and the fallback
        log.exception("model_failed", **about)
        return np.full(len(vectors), np.nan)
    if scores.shape != (len(vectors),):
        log.error("model_failed", shape=scores.shape, rows=len(vectors), **about)
        return np.full(len(vectors), np.nan)
    usable = (scores >= 0) & (scores <= 1)
    if not usable.all():
        log.error("score_not_usable", code="E_SCORE_NONFINITE", rows=int((~usable).sum()), **about)
        scores = np.where(usable, scores, np.nan)
    return scores


def scores_but(model: Model, vectors: Floats, cleared: Mask | None) -> Floats:
    """Return the model's scores of (n, f) vectors, NaN for the rows (n,) that it need not score."""
    if cleared is None or not cleared.any():
        return usable_scores(model, vectors)
    scores, asked = np.full(len(vectors), np.nan), ~cleared
    if asked.any():
        scores[asked] = usable_scores(model, vectors[asked])
    return scores


def _with_canary(arms: Arms, keys: NDArray[np.bytes_], vectors: Floats, cleared: Mask | None) -> Arms:
    """Return the arms with the canary's part: it decides what it clears or scores, the champion the rest."""
    canary, champion = arms.live.canary, arms.champion
    assert canary is not None, "asked only where there is one"
    assert champion is not None, "a canary has a champion beside it"
    mine = np.flatnonzero(assigned_to(id_of(canary.model), canary.share_percent, keys))
    if not len(mine):
        return arms
    spared = np.zeros(len(mine), np.bool_) if cleared is None else cleared[mine]
    assigned = mine[~spared]
    own = usable_scores(canary.model, vectors[assigned]) if len(assigned) else NO_SCORES
    usable = ~np.isnan(own)
    decided = np.sort(np.concatenate((mine[spared], assigned[usable])))
    scores = champion.copy()
    scores[mine[spared]], scores[assigned[usable]] = np.nan, own[usable]
    if arms.cleared is not None or spared.any():
        whole = np.zeros(len(vectors), np.bool_) if arms.cleared is None else arms.cleared.copy()
        whole[mine[spared]], whole[assigned[usable]] = True, False
        arms = arms._replace(cleared=whole)
    return arms._replace(scores=scores, drawn=mine, assigned=assigned, canary=own, decided=decided)
