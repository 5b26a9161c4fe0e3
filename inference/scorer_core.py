"""One batch of feature rows to decisions: serve, assemble, score, judge, decide, explain, watch, write.

Pure of Kafka. The store, the model and the clock are ports, so a simulator runs this very code.
"""

from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.frame import Columns, length
from features.catalog import SERVICE
from features.vector import assemble
from inference.champion import ModelSource
from inference.clock import Clock
from inference.drift import DriftEvent, DriftWatch
from inference.drift_settings import DriftSettings
from inference.model import Model, baseline_of
from inference.policy import DeclaredPolicy
from inference.policy_engine import PolicyEngine, by_one, limits_of
from inference.policy_watch import PolicySource
from inference.prediction import Judged, PredictionWriter, Timing
from inference.served import ServesFeatures

Floats = NDArray[np.float64]

log = structlog.get_logger(__name__)


class Scored(NamedTuple):
    """What a batch became: records to produce, and figures for the metrics.

    `latency_ms` is the batch's mean; `unwatched` counts values, by feature, that no detector was fed with;
    `engine` is the policy that decided.
    """

    keys: list[bytes]
    predictions: list[bytes]
    drift: list[DriftEvent]
    judged: Judged | None
    timing: Timing | None
    model: Model | None
    latency_ms: float
    unwatched: dict[str, int]
    engine: PolicyEngine | None = None


NOTHING = Scored([], [], [], None, None, None, 0.0, {})


class ScorerCore:
    """Scores batches of rows of Kind.FEATURE.

    Args:
        server: serves the feature groups.
        models: says which model scores the next batch; None means rules alone.
        epoch: the run's.
        policies: says which policy decides the next batch.
        watching: whether the drift detectors are fed; they are the stream's, and see each payment once.
    """

    def __init__(
        self,
        server: ServesFeatures,
        models: ModelSource,
        clock: Clock,
        epoch: int,
        policies: PolicySource,
        drift: DriftSettings | None = None,
        watching: bool = True,
    ) -> None:
        self._server, self._models, self._clock = server, models, clock
        self._policies, self._epoch = policies, epoch
        self._take_up(policies.current())
        self._watching = watching
        self.drift = DriftWatch(SERVICE.columns, drift)

    def _take_up(self, declared: DeclaredPolicy) -> None:
        self._engine = PolicyEngine(declared)
        self._writer = PredictionWriter(self._epoch, self._engine.rules, self._engine.used)

    def score(self, rows: Columns, received_ms: float) -> Scored:
        """Return one prediction for each of n rows, in their order, and the drift they showed.

        Rows of one partition must come in log order; `received_ms` is when the batch was there, epoch ms.
        """
        if not length(rows):
            return NOTHING
        if (declared := self._policies.current()) is not self._engine.declared:
            self._take_up(declared)
        clock, begin_ms, engine = self._clock, self._clock.elapsed_ms(), self._engine
        model = self._models.current()
        served = self._server.serve(rows, begin_ms)
        store_ms = clock.elapsed_ms() - begin_ms
        vectors = assemble(rows, served.customer, served.terminal, served.profile)
        outcomes = engine.book.judge(vectors)
        begin_ms = clock.elapsed_ms()
        cleared = engine.clears(vectors, outcomes, model)
        scores = engine.scores(model, vectors, cleared, usable_scores)
        predict_ms = clock.elapsed_ms() - begin_ms
        judged = engine.judge(rows, vectors, served, outcomes, scores, cleared, limits_of(model))
        judged = judged._replace(reasons=engine.reasons(rows, judged, by_one(model)))
        drift = self._watch(rows, judged, model) if self._watching else []
        timing = Timing(clock.now_ms(), received_ms, store_ms, predict_ms)
        predictions = self._writer.write(rows, judged, model, timing)
        latency_ms = max(0.0, timing.scored_at_ms - float(rows["appended_ms"].mean()))
        keys = rows["customer_id"].tolist()
        unwatched = self.drift.take_skipped()
        return Scored(keys, predictions, drift, judged, timing, model, latency_ms, unwatched, engine)

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
