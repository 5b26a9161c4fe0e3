"""The batch features that events were served, as their predictions recorded them.

When a snapshot reached the online store, and which of two an event met, only the prediction knows: a
training set that joins snapshots by time would show the model values that nobody was served.
"""

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.meaning import Meanings, unchanged
from features.service_meaning import service_meaning
from inference.offline.lake.lake import Lake, read_file
from inference.offline.lake.places import place, places
from inference.offline.lake.profile_history import ProfileHistory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class _Features(msgspec.Struct, gc=False):
    definitions_hash: str
    values: list[float | None]


class _Source(msgspec.Struct, gc=False):
    partition: int
    offset: int


class _Prediction(msgspec.Struct, gc=False):
    source: _Source
    features: _Features


class ServedProfiles:
    """Values of the project's batch view as served, and by a point-in-time join where no prediction is.

    Args:
        lake: holds the predictions.
        otherwise: for events without a prediction, and for columns that meant something else then.
    """

    def __init__(self, lake: Lake, otherwise: ProfileHistory) -> None:
        self._lake, self._otherwise = lake, otherwise
        self._view, self._meant = lake.project.profile, service_meaning(lake.project)
        self._meanings = Meanings((self._meant,), lake.folder)
        self._places_of: dict[str, list[tuple[int, int]]] = {}

    def of(self, events: pa.Table) -> Floats:
        """Return (n, kp) values; null is NaN.

        Args:
            events: n rows with the key of the batch view, the event's time, and their raw place.
        """
        if not self._view.columns:
            return np.empty((events.num_rows, 0))
        at = places(events["raw_partition"].to_numpy(), events["raw_offset"].to_numpy())
        values, known = self._recorded(at)
        open_rows = np.flatnonzero(~known.all(axis=1))
        if len(open_rows):
            asked = events.take(pa.array(open_rows))
            ids = asked[self._view.join_key].to_numpy(zero_copy_only=False)
            times = asked[self._lake.project.pipeline.scored.time].to_numpy()
            joined = self._otherwise.as_of(self._view, ids, times)
            values[open_rows] = np.where(known[open_rows], values[open_rows], joined)
        return values

    def _recorded(self, at: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """Return what predictions recorded for the places, and which of it they did."""
        shape = (len(at), len(self._view.columns))
        values, known = np.full(shape, np.nan), np.zeros(shape, np.bool_)
        row_of = {raw: row for row, raw in enumerate(at.tolist())}
        decode = msgspec.json.Decoder(_Prediction).decode
        for file in self._lake.files("predictions"):
            for data in read_file(file, ["value"])["value"].to_pylist():
                found = decode(data)
                row = row_of.get(place(found.source.partition, found.source.offset))
                if row is not None:
                    self._note(found.features, values[row], known[row])
        return values, known

    def _note(self, features: _Features, values: Floats, known: NDArray[np.bool_]) -> None:
        for to, at in self._columns(features.definitions_hash):
            value = features.values[at]
            values[to], known[to] = np.nan if value is None else value, True

    def _columns(self, definitions_hash: str) -> list[tuple[int, int]]:
        """Return (column of the profile, place in the vector) of what means the same today."""
        if definitions_hash not in self._places_of:
            then = self._meanings.of("service", int(definitions_hash, 16))
            same = unchanged(then, self._meant)
            self._places_of[definitions_hash] = [
                (to, same[name]) for to, name in enumerate(self._view.columns) if name in same
            ]
        return self._places_of[definitions_hash]
