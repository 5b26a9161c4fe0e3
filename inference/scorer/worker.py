"""A scorer put together: clients, store, champion, core. What `headrace score` runs."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np

from features.project.running import RunningProject
from inference.policy.watch import PolicyWatch
from inference.reading.breaker import Breaker
from inference.reading.online_reader import RedisFeatureReader, StoreUnavailable
from inference.reading.served import FeatureServer
from inference.release.canary import CanaryGuard
from inference.release.champion import ChampionWatch, definitions_of, load_champion
from inference.release.keeper import ReleaseKeeper
from inference.release.stores import store_of
from inference.scorer.core import ScorerCore
from inference.scorer.kafka import make_consumer, make_producer
from inference.scorer.lost_offsets import refuse_lost_offsets
from inference.scorer.metrics import ScorerMetrics
from inference.scorer.scorer import Clients, Scorer
from inference.scorer.settings import ScorerSettings
from runtime.clock import SystemClock
from runtime.health import Health
from runtime.input_ends import KafkaInputEnds
from runtime.watched import Watched


class ScorerWorker:
    """One scorer of a run, from settings to a clean end."""

    def __init__(
        self,
        project: RunningProject,
        settings: ScorerSettings,
        metrics: ScorerMetrics,
        health: Health | None = None,
    ) -> None:
        self._health = health = health or Health()
        self._project, self._settings, self._metrics = project, settings, metrics
        self._reader = RedisFeatureReader(project, settings.redis, settings.project, settings.reader)
        self._watch = ChampionWatch(
            settings.models,
            partial(load_champion, settings.models, definitions=definitions_of(project)),
            metrics,
            settings.model_look_ms / 1000,
            settings.models_secret,
            Watched("champion-watch", health, metrics.watch),
        )
        store = store_of(settings.models, settings.models_secret, settings.models_mlflow)
        self._keeper = ReleaseKeeper(
            settings.models, settings.worker, settings.canary, SystemClock(), store,
            Watched("release-keeper", health, metrics.watch),
        )  # fmt: skip
        policy = settings.policy
        self._policies = PolicyWatch(
            project, settings.models, policy.file, metrics, policy.look_ms / 1000,
            watched=Watched("policy-watch", health, metrics.watch),
        )  # fmt: skip

    def run(self, stopping: Callable[[], bool], ready: Callable[[], None] = lambda: None) -> None:
        """Score until `stopping()`; `ready` is called once the model is loaded and predecessors are fenced.

        Raises:
            Stop, StateError, ClusterError: as `Scorer.run`.
            ConfigError: E_POLICY_*, the policy's file is refused and none was live before.
        """
        settings, clock = self._settings, SystemClock()
        breaker = Breaker(settings.reader.probe_interval_ms)
        server = FeatureServer(
            self._project, self._reader, breaker, settings.epoch, settings.reader.profiles_remembered
        )
        self._policies.start()
        guard = CanaryGuard(settings.canary, self._keeper, self._project.decisions)
        core = ScorerCore(
            self._project, server, self._watch, clock, settings.epoch, self._policies, guard, settings.drift
        )
        # Fences a predecessor before anything is read: offsets that it left in an open transaction are not
        # told to anybody until then, or until the transaction times out.
        producer = make_producer(settings)
        refuse_lost_offsets(settings)
        consumer = make_consumer(settings)
        self._watch.start()
        self._keeper.start()
        self._warm()
        ready()
        ends = KafkaInputEnds(settings.kafka, settings.topic_prefix, settings.lake)
        clients = Clients(consumer, producer, ends)
        Scorer(clients, core, self._metrics, settings, clock, self._health).run(stopping)
        # Only at a clean end: leaving a group that has fenced us would wait for ever.
        self._watch.close()
        self._keeper.close()
        self._policies.close()
        consumer.close()
        self._reader.close()

    def _warm(self) -> None:
        """Compile the reader and open its connections before the first event waits for them."""
        nobody = np.array([b"-"])
        with suppress(StoreUnavailable):  # scoring goes on without the store, and so does the start
            self._reader.read(*(nobody for _ in self._project.pipeline.chain.links))
