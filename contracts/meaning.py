"""What columns of values meant when they were written, for whoever reads them under other code.

A row carries its definitions as 64 bits. The names and hashes behind them lie in the lake, one small file a
set of definitions, noted by every worker that starts; so a row stays readable after its code is gone.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from contracts.errors import StateError

FOLDER = "definitions"


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """One entity's definitions; `features` holds each column's own hash, in stored order."""

    entity: str
    hash: str
    features: dict[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in stored order."""
        return tuple(self.features)

    @property
    def code(self) -> int:
        """The hash as rows carry it: 64 bits."""
        return int(self.hash, 16)


def unchanged(of: Meaning, now: Meaning) -> Mapping[str, int]:
    """Return the columns of `now` that `of` has with the same meaning, and where they stand in `of`.

    >>> then = Meaning(entity="account", hash="00", features={"a": "1", "b": "2"})
    >>> now = Meaning(entity="account", hash="01", features={"b": "2", "c": "3", "a": "9"})
    >>> dict(unchanged(then, now))
    {'b': 1}
    """
    place = {name: at for at, name in enumerate(of.features)}
    found = {name: place[name] for name, hash_ in now.features.items() if of.features.get(name) == hash_}
    return MappingProxyType(found)


class Meanings:
    """All sets of definitions that are known: this code's own, and those noted in a lake.

    Args:
        own: this code's, one an entity.
        lake: None where there is no lake to look into.
    """

    def __init__(self, own: tuple[Meaning, ...], lake: Path | None = None) -> None:
        self.own = {meaning.entity: meaning for meaning in own}
        self._known = {(meaning.entity, meaning.code): meaning for meaning in own}
        self._lake = lake

    def of(self, entity: str, code: int) -> Meaning:
        """Return the definitions that a row was made under.

        Raises:
            StateError: E_DEFINITIONS_UNKNOWN, they are noted nowhere.
        """
        found = self._known.get((entity, code))
        if found is None:
            found = self._known[entity, code] = self._read(entity, f"{code:016x}")
        return found

    def _read(self, entity: str, hash_: str) -> Meaning:
        path = note_path(self._lake or Path(), entity, hash_)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Meaning)
        except (OSError, msgspec.MsgspecError) as error:
            raise StateError(
                "E_DEFINITIONS_UNKNOWN", f"rows were made under {entity} definitions {hash_}: {error}",
                str(path), "start a worker of the code that made them once, or copy its note there",
            ) from error  # fmt: skip


def note_path(lake: Path, entity: str, hash_: str) -> Path:
    """Return where a set of definitions is noted; `runtime.meaning_note` writes it."""
    return lake / FOLDER / f"{entity}-{hash_}.json"
