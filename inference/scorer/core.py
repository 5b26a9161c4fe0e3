"""One batch of feature rows to decisions: serve, assemble, score, judge, decide, explain, watch, write.

Pure of Kafka. The store, the model and the clock are ports, so a simulator runs this very code.
"""

from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from features.project.running import RunningProject
from features.vector import VectorMaker
from inference.drift.events import DriftEvent
from inference.drift.settings import DriftSettings
from inference.drift.watch import DriftWatch
from inference.models.model import baseline_of
from inference.policy.engine import PolicyEngine
from inference.policy.policy import DeclaredPolicy
from inference.policy.prediction import Judged, PredictionWriter, Timing
from inference.policy.watch import PolicySource
from inference.reading.served import ServesFeatures
from inference.release.arms import Arms, score_arms
from inference.release.live import Live, ModelSource, id_of, live_of
from runtime.clock import Clock

Floats = NDArray[np.float64]


class Guard(Protocol):
    """Watches what a canary does (`inference.release.canary`)."""

    def allowed(self, live: Live) -> Live:
        """Return the models of the next batch, without a canary that may not decide any more."""

    def see(self, arms: Arms, event_ms: NDArray[np.int64]) -> None:
        """Take note of a batch's scores; event times are (n,)."""


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
    latency_ms: float
    unwatched: dict[str, int]
    arms: Arms | None = None
    engine: PolicyEngine | None = None


NOTHING = Scored([], [], [], None, None, 0.0, {})


class ScorerCore:
    """Scores batches of rows of Kind.SCORED.

    Args:
        project: whose events are decided.
        server: serves the feature groups.
        models: says which models score the next batch; without a champion rules decide alone.
        epoch: the run's.
        guard: watches the canary, where there may be one.
        policies: says which policy decides the next batch.
        watching: whether the drift detectors are fed; they are the stream's, and see each event once.
    """

    def __init__(
        self,
        project: RunningProject,
        server: ServesFeatures,
        models: ModelSource,
        clock: Clock,
        epoch: int,
        policies: PolicySource,
        guard: Guard | None = None,
        drift: DriftSettings | None = None,
        watching: bool = True,
    ) -> None:
        self._server, self._models, self._clock = server, models, clock
        self._watching, self.project = watching, project
        self._vectors = VectorMaker(project)
        self._policies, self._epoch, self._guard = policies, epoch, guard
        self._take_up(policies.current())
        self.drift = DriftWatch(project.service.columns, project, drift)

    def _take_up(self, declared: DeclaredPolicy) -> None:
        self._engine = PolicyEngine(declared, self.project)
        self._writer = PredictionWriter(self._epoch, self._engine.rules, self._engine.used, self.project)

    def score(self, rows: Columns, received_ms: float) -> Scored:
        """Return one prediction for each of n rows, in their order, and the drift they showed.

        Rows of one partition must come in log order; `received_ms` is when the batch was there, epoch ms.
        """
        if not length(rows):
            return NOTHING
        if (declared := self._policies.current()) is not self._engine.declared:
            self._take_up(declared)
        clock, begin_ms, engine = self._clock, self._clock.elapsed_ms(), self._engine
        live = live_of(self._models) if self._guard is None else self._guard.allowed(live_of(self._models))
        served = self._server.serve(rows, begin_ms)
        store_ms = clock.elapsed_ms() - begin_ms
        vectors = self._vectors.assemble(rows, served.groups, served.profile)
        outcomes = engine.book.judge(vectors, rows)
        clears = partial(engine.clears, vectors, outcomes)
        keys = self.project.event.record_key(rows)
        arms = score_arms(live, keys, vectors, clock, clears)
        judged = engine.judge(
            rows,
            vectors,
            served,
            outcomes,
            arms.scores,
            arms.cleared,
            arms.limits(engine.decisions.names),
        )
        judged = judged._replace(reasons=engine.reasons(rows, judged, arms.deciding))
        drift = self._watch(rows, judged, arms) if self._watching else []
        timing = Timing(clock.now_ms(), received_ms, store_ms, arms.predict_ms)
        predictions = self._writer.write(rows, judged, live.champion, timing, arms)
        latency_ms = max(0.0, timing.scored_at_ms - float(rows["appended_ms"].mean()))
        unwatched = self.drift.take_skipped()
        return Scored(keys.tolist(), predictions, drift, judged, timing, latency_ms, unwatched, arms, engine)

    def _watch(self, rows: Columns, judged: Judged, arms: Arms) -> list[DriftEvent]:
        """Feed the detectors, the score's with the champion's own, and the canary's guard."""
        if self._guard is not None:
            self._guard.see(arms, rows[self.project.event.time])
        model = arms.live.champion
        name, usual = ("", None) if model is None else (id_of(model), baseline_of(model))
        return self.drift.model_is(name, usual) + self.drift.feed(
            rows[self.project.pipeline.chain.last.partition], rows[self.project.event.time], judged.vectors,
            arms.champion,
            judged.decided.decision,
        )  # fmt: skip
