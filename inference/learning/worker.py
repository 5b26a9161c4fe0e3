"""A learner put together: clients, registry, trainer, core. What `headrace learn` runs."""

from collections.abc import Callable
from functools import partial

from features.project.running import RunningProject
from inference.drift.error_drift import ErrorDrift
from inference.learning.core import LearnerCore
from inference.learning.kafka import make_consumer, make_producer
from inference.learning.learner import Clients, Learner
from inference.learning.metrics import LearnerMetrics
from inference.learning.ports import Models, Trainer
from inference.learning.settings import LearnerSettings
from runtime.health import Health
from runtime.input_ends import KafkaInputEnds


class LearnerWorker:
    """The learner of a run, from settings to a clean end."""

    def __init__(
        self, project: RunningProject, settings: LearnerSettings, metrics: LearnerMetrics, trainer: Trainer,
        models: Models, health: Health | None = None,
    ) -> None:  # fmt: skip
        self._project, self._health = project, health
        self._settings, self._metrics, self._trainer, self._models = settings, metrics, trainer, models

    def run(
        self,
        stopping: Callable[[], bool],
        ready: Callable[[], None] = lambda: None,
        *,
        to_the_end: bool = False,
    ) -> None:
        """Learn until `stopping()`; `ready` is called once what was known is known again.

        Raises:
            Stop, StateError, ClusterError: as `Learner`.
        """
        producer = make_producer(self._settings)  # fences a predecessor, before anything is read
        consumer = make_consumer(self._settings)
        core = LearnerCore(
            self._project, self._settings, self._models, partial(ErrorDrift, self._settings.drift)
        )
        clients = Clients(
            consumer,
            producer,
            KafkaInputEnds(self._settings.kafka, self._settings.topic_prefix, self._settings.lake),
        )
        learner = Learner(clients, core, self._trainer, self._metrics, self._settings, self._health)
        learner.start()
        ready()
        learner.run(stopping, to_the_end=to_the_end)
        consumer.close()
