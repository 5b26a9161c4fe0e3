"""Metric labels that name things of which there may be ever more: the newest few are shown."""

import warnings
from collections import OrderedDict

from prometheus_client import Gauge


class NewestLabels:
    """A gauge whose series are at most `most`: a new one takes the place of the one longest not used.

    >>> from prometheus_client import CollectorRegistry
    >>> registry = CollectorRegistry()
    >>> shown = NewestLabels(Gauge("live", "models that score", ["model"], registry=registry), most=2)
    >>> for name in ("a", "b", "a", "c"):
    ...     shown.labels(name).set(1)
    >>> [sample.labels["model"] for metric in registry.collect() for sample in metric.samples]
    ['a', 'c']
    """

    def __init__(self, metric: Gauge, most: int) -> None:
        self._metric, self._most = metric, most
        self._used: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def labels(self, *values: str) -> Gauge:
        """Return the series of these values."""
        if values not in self._used and len(self._used) >= self._most:
            with warnings.catch_warnings():  # of several processes, which we never are; Feast sets so
                warnings.simplefilter("ignore", UserWarning)
                self._metric.remove(*self._used.popitem(last=False)[0])
        self._used[values] = None
        self._used.move_to_end(values)
        return self._metric.labels(*values)
