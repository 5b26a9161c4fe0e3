"""By what a decision names its event: the event's id, and its key of each entity of the chain.

predictions, reviews    {"event_id": "t1", "keys": {"account": "a1", "device": "d1"}, ...}
the lake                columns event_id, key_account, key_device
rows between stages     the contract's own fields, of which these are made
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.chain import Chain, Link
from contracts.frame import Columns
from contracts.keys import key_of
from contracts.pipeline import Pipeline
from contracts.text_column import text_column

BETWEEN, OF_PLACE = "/", "-"
PLACE = ("raw_partition", "raw_offset")
Texts = NDArray[np.bytes_]


class EventIdentity:
    """How the events of a scored source are named.

    The id is the text of the source's id fields, joined by "/"; a field that is also a key of the chain
    stands in `keys` and is left out, unless nothing else is left. A source without an id is named by its
    place in the log, `partition-offset`. A key of several fields is one text, as `key_of` makes it.

    Args:
        ids: the source's id fields, in the contract's order; empty where it declares none.
        chain: the entities whose keys an event has.
        told_apart: names of the entities by whose keys events of one id are told apart; None for all.
        time: the field of an event's time.

    >>> named = EventIdentity(("shop_id", "order_id"), Chain(("shop", "shop_id"), ("user", "user_id")))
    >>> rows = {"order_id": np.array([b"o1"]), "shop_id": np.array([b"s1"]), "user_id": np.array([b""])}
    >>> named.ids_of(rows).tolist(), named.columns
    ([b'o1'], ('event_id', 'key_shop', 'key_user'))
    >>> [column.tolist() for column in named.identity_of(rows)]
    [[b'o1'], [b's1'], [b'']]
    >>> named.document(rows, 0)
    {'event_id': 'o1', 'keys': {'shop': 's1', 'user': None}}
    """

    def __init__(
        self, ids: tuple[str, ...], chain: Chain, told_apart: frozenset[str] | None = None,
        time: str = "event_time",
    ) -> None:  # fmt: skip
        keys = {link.key for link in chain.links}
        self.links = tuple(link for link in chain.links if told_apart is None or link.name in told_apart)
        self.fields = tuple(name for name in ids if name not in keys) or ids
        self.chain, self.time = chain, time
        self._parts, self._between = (self.fields, BETWEEN) if self.fields else (PLACE, OF_PLACE)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the lake keeps of a decision's event: its id and its keys."""
        return ("event_id", *map(key_column, self.chain.links))

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the columns that tell events apart, which labels have too."""
        return tuple(dict.fromkeys([*self._parts, *(name for link in self.links for name in link.fields)]))

    def ids_of(self, rows: Columns) -> Texts:
        """Return the event id of each of n rows, UTF-8."""
        first, *others = (_texts(rows[name]) for name in self._parts)
        for column in others:
            first = np.char.add(np.char.add(first, self._between.encode()), column)
        return first

    def keys_of(self, rows: Columns) -> tuple[Texts, ...]:
        """Return the keys of n rows by entity, in the chain's order; one that is missing is empty."""
        return tuple(key_of(rows, link.fields) for link in self.chain.links)

    def identity_of(self, rows: Columns) -> tuple[Texts, ...]:
        """Return what tells n rows apart: the id, and the keys of `links`."""
        return self.ids_of(rows), *(key_of(rows, link.fields) for link in self.links)

    def record_key(self, rows: Columns) -> Texts:
        """Return by what decisions on n rows are keyed: the first entity's key, else the event's id."""
        first = key_of(rows, self.chain.first.fields)
        missing = first == b""
        return np.where(missing, self.ids_of(rows), first) if missing.any() else first

    def document(self, rows: Columns, row: int) -> dict[str, Any]:
        """Return `event_id` and `keys` of one row, as decisions and cases write them."""
        keyed = (name for link in self.chain.links for name in link.fields)
        one = {name: rows[name][row : row + 1] for name in {*self._parts, *keyed} & rows.keys()}
        keys = [key[0].decode() or None for key in self.keys_of(one)]
        return {
            "event_id": self.ids_of(one)[0].decode(), "keys": dict(zip(self.chain.names, keys, strict=True))
        }  # fmt: skip

    def of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what tells a row of the lake from others, as `said` of its decision."""
        one: Columns = {
            name: np.array([row[name]]) if isinstance(row[name], int) else text_column([row[name] or ""])
            for name in self.compared
        }
        return tuple(column[0].decode() for column in self.identity_of(one))

    def said(self, decision: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the same of a decision that was read as JSON.

        >>> named = EventIdentity(("order_id",), Chain(("shop", "shop_id"), ("user", "user_id")))
        >>> named.said({"event_id": "o1", "keys": {"shop": "s1", "user": None}})
        ('o1', 's1', '')
        """
        return (decision["event_id"], *(decision["keys"].get(link.name) or "" for link in self.links))

    def record_key_said(self, decision: Mapping[str, Any]) -> str:
        """Return by what a decision that was read as JSON is keyed, as `record_key`."""
        return decision["keys"].get(self.chain.first.name) or str(decision["event_id"])

    def fields_said(self, decision: Mapping[str, Any]) -> dict[str, str]:
        """Return the fields of a decision's keys as texts; those of a key that is missing are empty.

        >>> named = EventIdentity((), Chain(("till", ("shop_id", "till_id")), ("user", "user_id")))
        >>> named.fields_said({"keys": {"till": "3:s:11:7", "user": None}})
        {'shop_id': 's:1', 'till_id': '7', 'user_id': ''}
        """
        found: dict[str, str] = {}
        for link in self.chain.links:
            parts = _parts(decision["keys"].get(link.name) or "", len(link.fields))
            found |= {
                name: text for name, text in zip(link.fields, parts, strict=True) if text or name not in found
            }
        return found

    def sought(self, decision: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return a field and its value, by which rows of a decision's event are found, among others."""
        if len(self.fields) == 1:
            return self.fields[0], decision["event_id"]
        return next(((name, key) for name, key in self.fields_said(decision).items() if key), None)


def identity_in(pipeline: Pipeline) -> EventIdentity:
    """Return how a project's events are named, and told apart by what every one of its labels says."""
    links = pipeline.chain.links
    told = {link.name for link in links if all(source.always_has(link) for source in pipeline.labels)}
    return EventIdentity(pipeline.scored.ids, pipeline.chain, frozenset(told), pipeline.scored.time)


def key_column(link: Link) -> str:
    """Return the lake's column of an entity's key."""
    return f"key_{link.name}"


def _parts(key: str, count: int) -> list[str]:
    """Return the texts of which `key_of` made a key."""
    if count == 1 or not key:
        return [key, *[""] * (count - 1)]
    rest, parts = key.encode(), list[str]()
    for _ in range(count):
        size, _, rest = rest.partition(b":")
        parts.append(rest[: int(size)].decode())
        rest = rest[int(size) :]
    return parts


def _texts(column: NDArray[Any]) -> Texts:
    return column if column.dtype.kind == "S" else column.astype(np.bytes_)
