"""One batch of feature rows to decisions: serve, assemble, score, judge, decide, explain, watch, write.

Pure of Kafka. The store, the model and the clock are ports, so a simulator runs this very code.
"""

from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.events import Reason
from contracts.frame import Columns, length
from features.catalog import SERVICE
from features.vector import assemble
from inference.champion import ModelSource
from inference.clock import Clock
from inference.decision import decide
from inference.drift import DriftEvent, DriftWatch
from inference.drift_settings import DriftSettings
from inference.manifest import Thresholds
from inference.missing import missing
from inference.model import Model, baseline_of
from inference.prediction import Judged, PredictionWriter, Timing
from inference.reasons import Reasoner
from inference.rules import RuleBook, Severity, declared_rules
from inference.scorer_settings import PolicySettings
from inference.served import ServesFeatures

Floats = NDArray[np.float64]

log = structlog.get_logger(__name__)
_NO_MODEL = Thresholds()


class Scored(NamedTuple):
    """What a batch became: records to produce, and figures for the metrics.

    `latency_ms` is the batch's mean; `unwatched` counts values, by feature, that no detector was fed with.
    """

    keys: list[bytes]
    predictions: list[bytes]
    drift: list[DriftEvent]
    judged: Judged | None
    timing: Timing | None
    model: Model | None
    latency_ms: float
    unwatched: dict[str, int]


NOTHING = Scored([], [], [], None, None, None, 0.0, {})


class ScorerCore:
    """Scores batches of rows of Kind.FEATURE.

    Args:
        server: serves the feature groups.
        models: says which model scores the next batch; None means rules alone.
        epoch: the run's.
        watching: whether the drift detectors are fed; they are the stream's, and see each payment once.
    """

    def __init__(
        self,
        server: ServesFeatures,
        models: ModelSource,
        clock: Clock,
        epoch: int,
        policy: PolicySettings,
        drift: DriftSettings | None = None,
        watching: bool = True,
    ) -> None:
        rules = declared_rules(policy.rules)
        self._server, self._models, self._clock = server, models, clock
        self._watching = watching
        self._rules = RuleBook(rules, SERVICE.columns)
        self._reasoner = Reasoner(
            SERVICE.columns, rules, top=policy.reasons_a_row, rows_max=policy.reasons_rows_max
        )
        self._writer = PredictionWriter(epoch, rules)
        self._fallback = Severity[policy.fallback.upper()]
        self.drift = DriftWatch(SERVICE.columns, drift)

    def score(self, rows: Columns, received_ms: float) -> Scored:
        """Return one prediction for each of n rows, in their order, and the drift they showed.

        Rows of one partition must come in log order; `received_ms` is when the batch was there, epoch ms.
        """
        if not length(rows):
            return NOTHING
        clock, begin_ms = self._clock, self._clock.elapsed_ms()
        model = self._models.current()
        served = self._server.serve(rows, begin_ms)
        store_ms = clock.elapsed_ms() - begin_ms
        vectors = assemble(rows, served.customer, served.terminal, served.profile)
        begin_ms = clock.elapsed_ms()
        scores = None if model is None else usable_scores(model, vectors)
        predict_ms = clock.elapsed_ms() - begin_ms
        outcomes = self._rules.judge(vectors)
        thresholds = _NO_MODEL if model is None else model.thresholds
        decided = decide(scores, thresholds, self._rules.severity(outcomes), self._fallback)
        judged = Judged(vectors, served, scores, outcomes, decided, missing(served, scores), {})
        judged = judged._replace(reasons=self._reasons(judged, model))
        drift = self._watch(rows, judged, model) if self._watching else []
        timing = Timing(clock.now_ms(), received_ms, store_ms, predict_ms)
        predictions = self._writer.write(rows, judged, model, timing)
        latency_ms = max(0.0, timing.scored_at_ms - float(rows["appended_ms"].mean()))
        keys = rows["customer_id"].tolist()
        unwatched = self.drift.take_skipped()
        return Scored(keys, predictions, drift, judged, timing, model, latency_ms, unwatched)

    def _reasons(self, judged: Judged, model: Model | None) -> dict[int, list[Reason]]:
        refused = np.flatnonzero(judged.decided.decision != Severity.APPROVE)
        if not len(refused):
            return {}
        reasons = self._reasoner.explain(refused, judged.vectors, judged.scores, judged.outcomes, model)
        return dict(zip(refused.tolist(), reasons, strict=True))

    def _watch(self, rows: Columns, judged: Judged, model: Model | None) -> list[DriftEvent]:
        name = f"{model.identity.name}/{model.identity.version}" if model else ""
        events = self.drift.model_is(name, None if model is None else baseline_of(model))
        return events + self.drift.feed(
            rows["terminal_partition"], rows["event_time"], judged.vectors, judged.scores,
            judged.decided.decision,
        )  # fmt: skip


def usable_scores(model: Model, vectors: Floats) -> Floats:
    """Return the model's scores, NaN for each that is no probability; a failing model gives NaN for all."""
    try:
        scores = model.predict(vectors)
    except Exception:  # whatever a model does, the payments are decided: by rules and the fallback
        log.exception("model_failed", model=model.identity.name, version=model.identity.version)
        return np.full(len(vectors), np.nan)
    if scores.shape != (len(vectors),):
        log.error("model_failed", shape=scores.shape, rows=len(vectors), version=model.identity.version)
        return np.full(len(vectors), np.nan)
    usable = (scores >= 0) & (scores <= 1)
    if not usable.all():
        log.error("score_not_usable", code="E_SCORE_NONFINITE", rows=int((~usable).sum()))
        scores = np.where(usable, scores, np.nan)
    return scores
