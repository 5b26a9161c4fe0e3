"""The lake's predictions in parts of bounded size, and what is known of their events since."""

from collections.abc import Iterator, Mapping
from typing import Any, overload

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from contracts.event_identity import EventIdentity
from contracts.frame import Columns, strings
from inference.offline.lake.lake import Lake, read_file

ROWS_A_PART = 5000


def parts(lake: Lake, from_ms: int | None = None, to_ms: int | None = None) -> Iterator[list[dict[str, Any]]]:
    """Yield the predictions with an event time in [from_ms, to_ms), in log order.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    if not lake.has("predictions"):
        lake.read("predictions", ["offset"])
    for file in lake.files("predictions"):
        values = read_file(file, ["value"])["value"]
        for begin in range(0, len(values), ROWS_A_PART):
            rows = [orjson.loads(value) for value in values.slice(begin, ROWS_A_PART).to_pylist()]
            yield [
                row for row in rows
                if (from_ms is None or row["event_time"] >= from_ms)
                and (to_ms is None or row["event_time"] < to_ms)
            ]  # fmt: skip


def identity_of(table: pa.Table, event: EventIdentity) -> tuple[NDArray[np.bytes_], ...]:
    """Return what tells the rows of a dataset of the log apart, the event's id first; (n,) each."""
    rows: Columns = {}
    for name in event.compared:
        column = table[name]
        texts = pa.types.is_string(column.type)
        rows[name] = strings(column.fill_null("").to_pylist()) if texts else column.to_numpy()
    return event.identity_of(rows)


class KnownLabels:
    """What events turned out to be: the label of the newest label_time, of equal ones the log's later.

    A label is an event's when it names its id and its keys.
    """

    def __init__(self, lake: Lake) -> None:
        self._event, self._by_event = lake.project.event, dict[tuple[str, ...], int]()
        pipeline = lake.project.pipeline
        if not pipeline.labels or not lake.has(pipeline.log_dataset(pipeline.labels[0])):
            return
        source, position = pipeline.labels[0], pipeline.chain.last.position
        columns = dict.fromkeys([*self._event.compared, "positive", source.time, position])
        table = lake.read(pipeline.log_dataset(source), list(columns))
        table = table.sort_by([(source.time, "ascending"), (position, "ascending")])
        named = (column.astype(str).tolist() for column in identity_of(table, self._event))
        outcomes = map(int, table["positive"].to_pylist())
        self._by_event = dict(zip(zip(*named, strict=True), outcomes, strict=True))

    @overload
    def of(self, prediction: Mapping[str, Any]) -> int | None: ...
    @overload
    def of(self, prediction: Mapping[str, Any], unknown: int) -> int: ...
    def of(self, prediction: Mapping[str, Any], unknown: int | None = None) -> int | None:
        """Return 1 for a positive, 0 for none, `unknown` where a prediction's event has no label."""
        return self._by_event.get(self._event.said(prediction), unknown)
