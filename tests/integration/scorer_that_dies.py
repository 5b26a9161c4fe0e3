"""A scorer that is killed after its records are in the log and before their transaction commits."""

import os
import signal
from typing import Any

from prometheus_client import CollectorRegistry

from inference.scorer import worker as scorer_worker
from inference.scorer.kafka import make_producer
from inference.scorer.metrics import ScorerMetrics
from inference.scorer.settings import ScorerSettings
from load.this_project import PROJECT
from runtime import environment

COMMITS = 2  # so many go well


class DyingProducer:
    """Everything as the real producer, but the commit after `COMMITS` others is a kill -9."""

    def __init__(self, settings: ScorerSettings) -> None:
        self._producer = make_producer(settings)
        self._left = COMMITS

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        """Commit, or die with everything flushed."""
        if not self._left:
            self._producer.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1
        self._producer.commit_transaction(timeout_s)


if __name__ == "__main__":
    scorer_worker.make_producer = DyingProducer  # type: ignore[attr-defined,assignment]
    settings = environment.settings_of(ScorerSettings, rows_max=100)
    scorer_worker.ScorerWorker(PROJECT, settings, ScorerMetrics(CollectorRegistry(), PROJECT)).run(
        lambda: False
    )
