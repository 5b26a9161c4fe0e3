"""The one order of imported records: time, then source, then file, then row.

The time is the one at which a record counts: a label's is when it became known. Of one source the records
stand in the order of its files and their rows, so a sort that keeps it gives the whole order.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, concat, length, position, take
from contracts.pipeline import Pipeline

Ints = NDArray[np.int64]
ROWS_A_BLOCK = 65_536
Block = list[tuple[int, Columns]]  # of each source its rows, by its number, placed


class InRank(NamedTuple):
    """A source's rows in an order of all rows: `rank` (n,), ascending, says where each stands in it."""

    number: int
    rows: Columns
    rank: Ints


def in_order(
    pipeline: Pipeline, parts: Mapping[int, Sequence[Columns]], rows_a_block: int = ROWS_A_BLOCK
) -> Iterator[Block]:
    """Yield all rows in their order, a bounded block at a time; a row's place in it is its position.

    Args:
        parts: good rows by the number of their source, in the order of files and rows.
    """
    yield from blocks(_sorted(pipeline, parts), rows_a_block)


def _sorted(pipeline: Pipeline, parts: Mapping[int, Sequence[Columns]]) -> list[InRank]:
    numbers = sorted(number for number, some in parts.items() if any(map(length, some)))
    by_source = [concat([part for part in parts[number] if length(part)]) for number in numbers]
    times = [rows[pipeline.by_number[number].time] for number, rows in zip(numbers, by_source, strict=True)]
    if not times:
        return []
    sources = np.repeat(numbers, [len(column) for column in times])
    order = np.lexsort((np.arange(len(sources)), sources, np.concatenate(times)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    ranks = np.split(rank, np.cumsum([len(column) for column in times])[:-1])
    found = []
    for number, rows, own in zip(numbers, by_source, ranks, strict=True):
        which = np.argsort(own)
        found.append(InRank(number, take(rows, which), own[which]))
    return found


def blocks(found: Sequence[InRank], rows_a_block: int) -> Iterator[Block]:
    """Yield the rows of all sources in the order of their ranks."""
    total = sum(len(one.rank) for one in found)
    for begin in range(0, total, rows_a_block):
        block: Block = []
        for one in found:
            first, behind = np.searchsorted(one.rank, [begin, begin + rows_a_block]).tolist()
            if behind > first:
                part = slice(first, behind)
                block.append((one.number, placed(take(one.rows, part), one.rank[part])))
        yield block


def placed(rows: Columns, rank: Ints) -> Columns:
    """Return rows whose positions are their places in the whole order."""
    return {**rows, "pos": rank * position(1)}
