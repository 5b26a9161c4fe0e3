"""An archive that is killed when its files are in the lake and before their offsets are committed."""

import os
import signal

from confluent_kafka import TopicPartition
from prometheus_client import CollectorRegistry

from features.project.running import project_of_process
from runtime import environment
from streams.archive.archive import Archive
from streams.archive.metrics import ArchiveMetrics
from streams.archive.settings import ArchiveSettings

COMMITS = 1  # so many go well


class DyingArchive(Archive):
    """Everything as the real one, but the commit after `COMMITS` others is a kill -9."""

    commits_left = COMMITS

    def _commit(self, offsets: list[TopicPartition]) -> None:
        if not self.commits_left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.commits_left -= 1
        super()._commit(offsets)


if __name__ == "__main__":
    settings = environment.settings_of(ArchiveSettings, rows_a_file=150, flush_interval_ms=300.0)
    DyingArchive(project_of_process(), settings, ArchiveMetrics(CollectorRegistry())).run(lambda: False)
