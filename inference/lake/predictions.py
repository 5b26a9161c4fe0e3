"""The lake's predictions in parts of bounded size, and what is known of their payments since."""

from collections.abc import Iterator
from typing import Any

import orjson

from inference.lake.lake import Lake, read_file

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


def known_labels(lake: Lake) -> dict[str, int]:
    """Return 1 for fraud and 0 for legitimate, by transaction: the latest label of each."""
    if not lake.has("label_log"):
        return {}
    table = lake.read("label_log", ["transaction_id", "label", "label_time"]).sort_by("label_time")
    return dict(zip(table["transaction_id"].to_pylist(), map(int, table["label"].to_pylist()), strict=True))
