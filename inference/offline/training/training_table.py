"""A training set as a table: an event a row, what it was served with, and what it turned out to be."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.project.running import RunningProject
from inference.offline.training.training_set import TrainingSet

EVENT_ID, EVENT_TIME, KNOWN_AT, POSITIVE = "event_id", "event_time", "label_known_at", "positive"
ABOUT = (EVENT_ID, EVENT_TIME, KNOWN_AT, POSITIVE)
TIMESTAMP = pa.timestamp("ms", tz="UTC")


def training_table(data: TrainingSet) -> pa.Table:
    """Return the rows that a training is given, in its order, which is that of event time.

    First come `event_id`, `event_time`, `label_known_at` and `positive` (0 or 1), then the model's inputs in
    the vector's order, float64: null where a value was null, else bit for bit what the trees see. A category
    is its text, as a dictionary whose indices are the model's codes less one; null is a value that the
    contract does not know. An input called like one of the first four has a `_` behind its name. The table's
    metadata say which data they are (`headrace.data_hash`, as in the manifest of a model trained on them).
    """
    service = data.project.service
    ids = pa.nulls(len(data), pa.string()) if data.ids is None else pa.array(data.ids).cast(pa.string())
    columns = {
        EVENT_ID: ids,
        EVENT_TIME: pa.array(data.event_ms, pa.int64()).cast(TIMESTAMP),
        KNOWN_AT: pa.array(data.label_ms, pa.int64()).cast(TIMESTAMP),
        POSITIVE: pa.array(data.positive.astype(np.int8)),
    }
    for at, name in enumerate(service.columns):
        named = f"{name}_" if name in ABOUT else name
        columns[named] = _column(data.vectors[:, at], service.categories.get(name))
    return pa.table(columns).replace_schema_metadata(_about(data, data.project))


def _column(values: NDArray[np.float64], texts: tuple[str, ...] | None) -> pa.Array:
    if texts is None:
        return pa.array(np.ascontiguousarray(values), mask=np.isnan(values))
    codes = values.astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes - 1, mask=codes == 0), pa.array(texts))


def _about(data: TrainingSet, project: RunningProject) -> dict[str, str]:
    return {
        "headrace.project": project.name, "headrace.service": project.service.name,
        "headrace.definitions_hash": project.definitions_hash, "headrace.data_hash": data.data_hash,
        "headrace.until_ms": str(data.until_ms),
    }  # fmt: skip
