"""Which logged rows can be judged: those with nothing missing before them in the lake.

The archive writes each topic at its own time, so while a run is live the newest rows stand in the lake
without some of what came before them. A recomputation of those would differ, and nothing would be wrong.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from inference.backfill.frontier import frontier
from inference.lake.lake import Lake
from inference.lake.sql import database

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
ALL = np.iinfo(np.int64).max


class Cut(NamedTuple):
    """Masks over the log's payments (judged as a customer's, as a terminal's) and over its labels."""

    customer: Mask
    terminal: Mask
    labels: Mask


def whole(lake: Lake, log: pa.Table, label_log: pa.Table) -> Cut:
    """Return which rows may be judged.

    A customer's payments count up to the first raw one that is under way. A terminal's rows count up to
    the first, in its partition's order, whose raw record is not in the lake yet.

    Args:
        log, label_log: payments and labels with their places, raw and in the terminal's order.
    """
    with database(lake.folder / ".spilled") as connection:
        before = frontier(lake, connection).before
    labels_before = _newest(lake, "labels")
    payments_there = _there(log, before)
    labels_there = _there(label_log, labels_before)
    ends: dict[int, int] = {}
    for table, there in ((log, payments_there), (label_log, labels_there)):
        partitions, places = table["partition"].to_numpy()[~there], table["terminal_pos"].to_numpy()[~there]
        for partition in np.unique(partitions).tolist():
            first = int(places[partitions == partition].min())
            ends[partition] = min(ends.get(partition, ALL), first)
    return Cut(payments_there, _under(log, ends), _under(label_log, ends))


def _newest(lake: Lake, dataset: str) -> dict[int, int]:
    """Return, by partition, the offset behind the newest record of a raw dataset."""
    if not lake.has(dataset):
        return {}
    table = lake.read(dataset, ["offset"])
    partitions, offsets = table["partition"].to_numpy(), table["offset"].to_numpy()
    return {int(p): int(offsets[partitions == p].max()) + 1 for p in np.unique(partitions)}


def _there(table: pa.Table, before: Mapping[int, int]) -> Mask:
    partitions, offsets = table["raw_partition"].to_numpy(), table["raw_offset"].to_numpy()
    return np.asarray(offsets < _limits(partitions, before, 0))


def _under(table: pa.Table, ends: Mapping[int, int]) -> Mask:
    partitions, places = table["partition"].to_numpy(), table["terminal_pos"].to_numpy()
    return np.asarray(places < _limits(partitions, ends, ALL))


def _limits(partitions: NDArray[np.integer], limits: Mapping[int, int], default: int) -> Ints:
    found = np.full(len(partitions), default, np.int64)
    for partition, limit in limits.items():
        found[partitions == partition] = limit
    return found
