"""Watches inputs, null values, scores and decisions for change, partition by partition in log order.

Detectors live in memory: they start anew when a partition is taken over, after an aborted transaction and
when the model changes, and each start is told on the topic, so that a silence can be read.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError
from features.project.running import RunningProject
from inference.drift.baseline import Baseline
from inference.drift.events import DriftEvent, Place, restarted
from inference.drift.full_windows import LONG_AGO, Began, reaches_of
from inference.drift.partition_watch import PartitionWatch
from inference.drift.settings import DriftSettings, words

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class DriftWatch:
    """The detectors of the partitions that this worker owns.

    Args:
        columns: the names of the vectors' columns.
        project: whose events they are of; it says what is watched where the settings name nothing.

    Raises:
        ConfigError: E_CONFIG_DRIFT, a feature is to be watched that is no column.

    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> watch = DriftWatch(logins.service.columns, logins)
    >>> [event.kind for event in watch.restart([0], "taken over")]
    ['restart']
    """

    def __init__(
        self, columns: Sequence[str], project: RunningProject, settings: DriftSettings | None = None
    ) -> None:
        settings = settings or DriftSettings()
        if not settings.watched:
            settings = msgspec.structs.replace(settings, watched=",".join(project.watched))
        self._columns, self._settings, self._reaches = tuple(columns), settings, reaches_of(project)
        unknown = [name for name in words(self._settings.watched) if name not in self._columns]
        if unknown:
            raise ConfigError(
                "E_CONFIG_DRIFT", f"no features to watch: {', '.join(unknown)}", "HEADRACE_DRIFT_WATCHED",
                "name columns of the service (docs/reference/features.md)",
            )  # fmt: skip
        self._of: dict[int, PartitionWatch] = {}
        self._began: dict[int, Began] = {}
        self._model = ""
        self._baseline: Baseline | None = None

    def began_at(self, partition: int, began: Began) -> None:
        """Take note of when a partition's stream began, before its rows are fed."""
        if self._began.get(partition) != began:
            self._began[partition] = began
            if partition in self._of:
                self._of[partition].began_at(began)

    def restart(self, partitions: Sequence[int], why: str) -> list[DriftEvent]:
        """Begin anew on these partitions, and say so."""
        return [self._begin(partition, why) for partition in partitions]

    def drop(self, partitions: Sequence[int]) -> None:
        """Forget partitions that went to another worker."""
        for partition in partitions:
            self._of.pop(partition, None)
            self._began.pop(partition, None)

    def model_is(self, model: str, baseline: Baseline | None = None) -> list[DriftEvent]:
        """Take note of the model; another one has another baseline, so all detectors begin anew."""
        if model == self._model:
            return []
        self._model, self._baseline = model, baseline
        return self.restart(list(self._of), "the model changed")

    def feed(
        self, partitions: NDArray[Any], event_ms: Ints, vectors: Floats, scores: Floats | None,
        decisions: NDArray[np.uint8] | None = None,
    ) -> list[DriftEvent]:  # fmt: skip
        """Return what n rows in log order made sure; vectors are (n, f), the others (n,).

        Args:
            decisions: their codes, 0 the mildest.
        """
        events: list[DriftEvent] = []
        for partition in np.unique(partitions).tolist():
            which = np.flatnonzero(partitions == partition)
            if partition not in self._of:
                events.append(self._begin(partition, "first rows of the partition"))
            watch = self._of[partition]
            picked = which[watch.sample.pick(len(which))]
            if not len(picked):
                continue
            matrix = np.full((len(picked), vectors.shape[1] + 2), np.nan)
            matrix[:, :-2] = vectors[picked]
            if scores is not None:
                matrix[:, -2] = scores[picked]
            if decisions is not None:
                matrix[:, -1] = decisions[picked]
            for chunk in watch.sample.chunks(matrix, event_ms[picked]):
                events += watch.feed(chunk)
        return events

    def take_skipped(self) -> dict[str, int]:
        """Return how many values were not fed since the last call, by feature: null or not finite."""
        skipped: dict[str, int] = {}
        for watch in self._of.values():
            for feature, number in watch.take_skipped().items():
                skipped[feature] = skipped.get(feature, 0) + number
        return skipped

    def _begin(self, partition: int, why: str) -> DriftEvent:
        place = Place(partition, self._model)
        watch = self._of[partition] = PartitionWatch(
            self._columns, self._settings, self._reaches, place, self._baseline,
            self._began.get(partition, LONG_AGO),
        )  # fmt: skip
        return restarted(place, why, watch.against)
