"""Records as they come off an input topic, as columns: nothing is decoded yet."""

from collections.abc import Iterable
from typing import Final, NamedTuple

Header = tuple[str, bytes | None]


class Unreadable:
    """The kind of `UNREADABLE`: headers whose names are not UTF-8 and so cannot be held as text."""

    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE: Final = Unreadable()
Headers = list[Header] | Unreadable | None


class RawBatch(NamedTuple):
    """Raw records of one topic, as one list a part; all lists have one length."""

    partitions: list[int]
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]

    @classmethod
    def of(cls, records: Iterable[tuple[int, int, int, bytes | None, bytes | None, Headers]]) -> "RawBatch":
        """Return the batch of (partition, offset, timestamp_ms, key, value, headers) records.

        >>> RawBatch.of([(0, 7, 1_700_000_000_000, b"c1", b"{}", None)]).offsets
        [7]
        """
        columns = [list(column) for column in zip(*records, strict=True)] or [[] for _ in range(6)]
        return cls(*columns)

    def pick(self, rows: Iterable[int]) -> "RawBatch":
        """Return the named rows, in the order named."""
        chosen = list(rows)
        return RawBatch(*([column[i] for i in chosen] for column in self))  # type: ignore[arg-type]  # each column keeps its own type
