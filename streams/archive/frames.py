"""Frames of the feature log as columns: every feature by name, and the timestamps Feast joins on."""

import itertools

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, concat, length
from contracts.meaning import Meanings
from contracts.pipeline import SourceStream

DEFINITIONS = "_definitions"
TIMESTAMP = pa.timestamp("us", tz="UTC")  # Feast's DuckDB store cannot cast pandas' nanoseconds


def feature_table(parts: list[Columns], source: SourceStream, meanings: Meanings) -> pa.Table:
    """Return the rows of frames of one source, in log order; rows may be of different definitions.

    A row has the columns that were declared when it was made, and null for those declared since or before.

    An event is stamped with its own time; a label with the time it became known, for that is when it
    counts. `created_timestamp` is when the broker appended the raw record.

    Args:
        meanings: the definitions that are known.

    Raises:
        StateError: E_DEFINITIONS_UNKNOWN, or E_ARCHIVE_DEFINITIONS (a row has more values than columns).
    """
    filled = [part for part in parts if length(part)]
    runs = [list(group) for _, group in itertools.groupby(filled, key=_form)]
    return pa.concat_tables([_table(run, source, meanings) for run in runs], promote_options="default")


def definitions_of(rows: Columns) -> tuple[tuple[str, int], ...]:
    """Return, by entity, the definitions that rows of one frame were made under, as far as they say."""
    named = {
        name.removesuffix(DEFINITIONS): codes for name, codes in rows.items() if name.endswith(DEFINITIONS)
    }
    return tuple((entity, int(codes[0])) for entity, codes in named.items())


def _form(rows: Columns) -> tuple[object, ...]:
    """Return what rows must have in common to be one table: their definitions and their columns."""
    columns = sorted((name, column.shape[1:]) for name, column in rows.items())
    return (*definitions_of(rows), *columns)


def _table(parts: list[Columns], source: SourceStream, meanings: Meanings) -> pa.Table:
    rows, made = concat(aligned(parts)), dict(definitions_of(parts[0]))
    apart = {"pos", *(f"{entity}_{what}" for entity in meanings.own for what in ("values", "definitions"))}
    columns = {name: arrow(column) for name, column in rows.items() if name not in apart}
    for entity in meanings.own:
        if f"{entity}_values" in rows:
            own = meanings.own[entity]
            meaning = meanings.of(entity, made[entity]) if entity in made else own
            columns |= _named(rows[f"{entity}_values"], meaning.columns, entity)
            columns[f"{entity}_definitions"] = pa.array([meaning.hash] * length(rows), pa.string())
    columns["event_timestamp"] = timestamps(rows[source.time])
    columns["created_timestamp"] = timestamps(rows["appended_ms"])
    return pa.table(columns)


def aligned(parts: list[Columns]) -> list[Columns]:
    """Return the parts that hold rows, with one order of columns."""
    filled = [part for part in parts if length(part)]
    names = list(filled[0])
    return [{name: part[name] for name in names} for part in filled]


def timestamps(epoch_ms: NDArray[np.int64]) -> pa.Array:
    """Return epoch milliseconds as Arrow timestamps in UTC, shape (n,)."""
    return pa.array(epoch_ms * 1000, pa.int64()).cast(TIMESTAMP)


def arrow(column: NDArray[np.generic]) -> pa.Array:
    """Return a column as Arrow; bytes are UTF-8 text."""
    found = pa.array(np.ascontiguousarray(column))
    return found.cast(pa.string()) if pa.types.is_binary(found.type) else found


def _named(values: NDArray[np.float64], names: tuple[str, ...], group: str) -> dict[str, pa.Array]:
    if values.shape[1] != len(names):
        raise StateError(
            "E_ARCHIVE_DEFINITIONS", f"{values.shape[1]} values for {len(names)} declared features", group,
            "run the archive with the code that wrote the feature log",
        )  # fmt: skip
    return {name: arrow(values[:, i]) for i, name in enumerate(names)}
