"""A learner put together: clients, registry, trainer, core. What `headrace learn` runs."""

from collections.abc import Callable
from functools import partial

from inference.drift.error_drift import ErrorDrift
from inference.learner.core import LearnerCore
from inference.learner.kafka import make_consumer, make_producer
from inference.learner.learner import Clients, Learner
from inference.learner.metrics import LearnerMetrics
from inference.learner.ports import Models, Trainer
from inference.learner.settings import LearnerSettings


class LearnerWorker:
    """The learner of a run, from settings to a clean end."""

    def __init__(
        self, settings: LearnerSettings, metrics: LearnerMetrics, trainer: Trainer, models: Models
    ) -> None:
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
        core = LearnerCore(self._settings, self._models, partial(ErrorDrift, self._settings.drift))
        learner = Learner(Clients(consumer, producer), core, self._trainer, self._metrics, self._settings)
        learner.start()
        ready()
        learner.run(stopping, to_the_end=to_the_end)
        consumer.close()
