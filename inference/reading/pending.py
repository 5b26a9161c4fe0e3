"""The feature groups of events that are not in the log: each counted as if it came next, none written."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.chain import Chain
from contracts.frame import Columns, length
from contracts.keys import key_of
from features.project.running import RunningProject
from inference.reading.moment_reader import MomentReader
from inference.reading.served import NO_AGE, Served, Status, judged_profiles

Flags = NDArray[np.bool_]
NOT_LOGGED = -1  # partition and offset of an event that is in no log


class PendingServer:
    """Serves pending events to the scorer's core; see `inference.reading.served.ServesFeatures`.

    The entities' groups are exact: what the stream would compute if the event came next. Where the
    store is away or a key's row cannot be trusted they are null, and the decision is flagged.
    """

    def __init__(self, project: RunningProject, reader: MomentReader) -> None:
        self._project, self._reader = project, reader

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n events as of each; `rows` from `pending_rows`."""
        keys = [key_of(rows, link.fields) for link in self._project.pipeline.chain.links]
        stored = self._reader.read(keys, now_ms)
        if stored is None:
            return self._without_store(length(rows), keys)
        entities = self._project.entities
        found = [self._reader.with_pending(entity, stored.held[entity.name], rows) for entity in entities]
        keyless = [of == b"" for of in keys]
        unsure = [uncertain & ~none for none, (_, uncertain) in zip(keyless, found, strict=True)]
        groups, times = zip(keyless, found, strict=True), rows[self._project.event.time]
        return Served(
            tuple(np.where(none[:, None], np.nan, values) for none, (values, _) in groups),
            stored.profile.values, tuple(map(_status, keyless, unsure)),
            *judged_profiles(self._project.profile, stored.profile.time_ms, times, known_only=False),
            np.any(unsure, axis=0), True, {},
        )  # fmt: skip

    def _without_store(self, count: int, keys: Sequence[NDArray[np.bytes_]]) -> Served:
        def nothing(columns: tuple[str, ...]) -> NDArray[np.float64]:
            return np.full((count, len(columns)), np.nan)

        default, all_of_them = np.full(count, Status.DEFAULT, np.uint8), np.ones(count, np.bool_)
        return Served(
            tuple(nothing(entity.columns) for entity in self._project.entities),
            nothing(self._project.profile.columns),
            tuple(_status(of == b"", all_of_them) for of in keys), default,
            np.full(count, NO_AGE), np.zeros(count, np.bool_), False, {},
        )  # fmt: skip


def pending_rows(rows: Columns, chain: Chain) -> Columns:
    """Return the gate's columns of n events as the scorer's core takes them, of no place in any log."""
    nowhere = np.full(length(rows), NOT_LOGGED, np.int64)
    positions = (link.position for link in chain.links)
    places = ("raw_partition", "raw_offset", chain.last.partition, *positions)
    return {**rows, **dict.fromkeys(places, nowhere)}


def _status(keyless: Flags, uncertain: Flags) -> NDArray[np.uint8]:
    known = np.where(uncertain, Status.DEFAULT, Status.EXACT)
    return np.where(keyless, Status.NO_KEY, known).astype(np.uint8)
