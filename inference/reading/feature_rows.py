"""The columns of a FEATURE row that scoring reads, under the definitions of this process.

Rows made under other definitions are on their way while stages and scorers are replaced one after the
other. Such a row has every feature whose meaning is the same, and null for those that it was made without.
"""

import numpy as np
from numpy.typing import NDArray

from contracts.errors import StateError
from contracts.frame import Columns, length
from contracts.meaning import Meaning, Meanings, unchanged
from features.catalog import CHAIN, ENTITIES, PIPELINE
from features.meaning import meaning_of

COLUMNS = tuple(dict.fromkeys([
    "raw_partition", "raw_offset", "appended_ms", "traceparent", CHAIN.last.partition,
    *PIPELINE.scored.names,
    *(name for link in CHAIN.links for name in (link.position, link.values)),
]))  # fmt: skip
OWN = Meanings(tuple(meaning_of(entity) for entity in ENTITIES))


def for_scoring(rows: Columns, meanings: Meanings = OWN) -> Columns:
    """Return the rows of a frame with just these columns, values in this process's order.

    Raises:
        StateError: E_SCORER_COLUMNS, rows of another version of the stage; E_DEFINITIONS_UNKNOWN.
    """
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise _refused(f"missing {missing}")
    found = {name: rows[name] for name in COLUMNS}
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
