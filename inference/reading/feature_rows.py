"""The columns of a FEATURE row that scoring reads, under the definitions of this process.

Rows made under other definitions are on their way while stages and scorers are replaced one after the
other. Such a row has every feature whose meaning is the same, and null for those that it was made without.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, length
from contracts.meaning import Meaning, Meanings, unchanged
from contracts.pipeline import Pipeline
from contracts.row_columns import log_columns


def scoring_columns(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the columns of a project's scored rows that scoring reads."""
    links = pipeline.chain.links
    return tuple(dict.fromkeys([
        "raw_partition", "raw_offset", "appended_ms", "traceparent", pipeline.chain.last.partition,
        *pipeline.scored.names,
        *(name for link in links for name in (link.position, link.values)),
    ]))  # fmt: skip


def columns_needed(pipeline: Pipeline) -> dict[int, frozenset[str]]:
    """Return what rows of each source must have for the scorer to read them (`FrameReader`)."""
    scored = frozenset({"pos", *scoring_columns(pipeline)})
    return {**log_columns(pipeline), pipeline.scored.number: scored}


def for_scoring(rows: Columns, columns: Sequence[str], meanings: Meanings) -> Columns:
    """Return the rows of a frame with just these columns, values in this process's order.

    Raises:
        StateError: E_SCORER_COLUMNS, rows of another version of the stage; E_DEFINITIONS_UNKNOWN.
    """
    missing = [name for name in columns if name not in rows]
    if missing:
        raise _refused(f"missing {missing}")
    found = {name: rows[name] for name in columns}
    for entity, own in meanings.own.items():
        codes = rows.get(f"{entity}_definitions")
        made = own if codes is None or not len(codes) else meanings.of(entity, int(codes[0]))
        name = f"{entity}_values"
        if found[name].shape[1:] != (len(made.features),):
            raise _refused(f"{name} is {found[name].shape[1:]} wide, not {len(made.features)}")
        if made is not own:
            found[name] = _placed(rows, name, made, own)
    return found


def _placed(rows: Columns, name: str, made: Meaning, own: Meaning) -> NDArray[np.float64]:
    values = np.full((length(rows), len(own.features)), np.nan)
    places = unchanged(made, own)
    mine = [at for at, column in enumerate(own.features) if column in places]
    values[:, mine] = rows[name][:, [places[own.columns[at]] for at in mine]]
    return values


def _refused(what: str) -> StateError:
    return StateError(
        "E_SCORER_COLUMNS", what, "features.log", "run stages and scorer of versions that know each other"
    )
