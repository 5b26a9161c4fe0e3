"""A read in several steps gives what one step would."""

import numpy as np

from features.feast_row import RowsRead
from inference.reading.online_reader import _joined


def rows(count: int, first: int, error: str = "") -> RowsRead:
    at = np.arange(first, first + count)
    table = np.repeat(at[:, None], 2, axis=1)
    return RowsRead(
        values=table.astype(np.float64), event_time_ms=table, epochs=table, stamps=table,
        present=table >= 0, failed=at < 0, error=error, packed=tuple(b"%d" % i for i in at.tolist()),
    )  # fmt: skip


def test_parts_stand_one_after_the_other() -> None:
    whole, joined = rows(5, 0), _joined([rows(2, 0), rows(3, 2)])
    for name in RowsRead._fields:
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_the_first_error_is_kept() -> None:
    assert _joined([rows(1, 0), rows(1, 1, "OOM"), rows(1, 2, "later")]).error == "OOM"
