"""One JSON record an output row, for readers that are no stages of ours.

A row carries its place in the input, `source`: partition and position, which grow together along a lane, so
that a reader drops what an incarnation sends twice. Lanes and claims are for readers of record batches.
"""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from contracts.frame import Columns

_WORDS = ("transaction_id", "customer_id", "terminal_id")


class JsonWriter:
    """Makes JSON records of rows with as-of values; see `streams.stage.Writer`.

    Args:
        src: the lane's source, `topic/partition`.
        base: the position from which this incarnation reads its input.
        columns: names of the columns of `customer_values`; a null value is null.

    >>> writer = JsonWriter("events.customer/0", 0, ("count_1h",))
    >>> rows = {"pos": np.array([7]), "event_time": np.array([5]), "customer_values": np.array([[1.0]])}
    >>> rows |= {name: np.array([b"x"]) for name in _WORDS}
    >>> writer.emit(2, rows, np.array([0], np.int32), 8)[0][1]
    b'{"source":7,"event_time":5,"transaction_id":"x","customer_id":"x","terminal_id":"x","count_1h":1.0}'
    """

    def __init__(self, src: str, base: int, columns: tuple[str, ...]) -> None:
        self.src, self.base, self._columns = src, base, columns

    def emit(
        self, kind: int, rows: Columns, targets: NDArray[np.int32], upto: int
    ) -> list[tuple[int, bytes]]:
        """Return (target partition, record) pairs, one a row, in input order."""
        names = ("source", "event_time", *_WORDS, *self._columns)
        columns: list[list[Any]] = [rows["pos"].tolist(), rows["event_time"].tolist()]
        columns += [np.char.decode(rows[name]).tolist() for name in _WORDS]
        columns += rows["customer_values"].T.tolist()
        made = [orjson.dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
        return list(zip(targets.tolist(), made, strict=True))
