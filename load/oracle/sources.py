"""A project as the oracle knows it: its sources, the entities that records visit, and what is on the wire.

All of it follows from the contracts' texts and the declarations, which come as data.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

from load.oracle.contract_check import NULLS, checked
from load.oracle.dump import Declared, Record, SourceText
from load.oracle.expressions import Reading
from load.oracle.hashes import partition_of
from load.oracle.terms import NULL, Field, Terms, read_terms

HASH_BYTES = 16
POSITIVE = "positive"
SCORED, LABELS = "scored", "labels"
Row = dict[str, Any]


class LinkOracle(NamedTuple):
    """One entity of the chain, and its place there."""

    name: str
    fields: tuple[str, ...]
    place: int

    @property
    def input(self) -> str:
        """The topic that its stage reads."""
        return f"events.{self.name}"

    @property
    def late_bit(self) -> int:
        """What `late` holds of a row that was late for it."""
        return 1 << self.place

    def key(self, row: Mapping[str, Any]) -> bytes:
        """Return a row's key, empty where a part is missing.

        >>> LinkOracle("a", ("x", "n"), 0).key({"x": b"ab", "n": 7})
        b'2:ab1:7'
        """
        return key_of(row, self.fields)


def key_of(row: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    """Return the key that fields make: one alone as it is, of several each with its length before it."""
    parts = [_text(row.get(name)) for name in fields]
    if len(parts) == 1:
        return parts[0]
    return b"" if b"" in parts else b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _text(value: Any) -> bytes:
    if value is None or value == NULL:
        return b""
    return value if isinstance(value, bytes) else b"%d" % value


class SourceOracle:
    """One source: its contract's versions, its place in the project, and what leaves the gate of it."""

    def __init__(self, number: int, text: SourceText, keys: frozenset[str]) -> None:
        versions = [read_terms(one) for one in text.contracts]
        newest = versions[-1]
        self.number, self.name, self.role = number, text.name, text.role
        self.topic = text.topic or newest.topic
        self.ids, self.key_field, self.horizon_ms = newest.ids, newest.key_field, newest.deduplicate_ms
        known_at = text.known_at or newest.known_at
        self.versions = tuple(terms._replace(known_at=known_at) for terms in versions)
        self.time = known_at if self.is_labels else newest.event_time
        personal = {field.name for terms in versions for field in terms.fields if field.personal}
        self.hashed = frozenset(personal & keys)
        self.fields = tuple(
            field for field in newest.fields if field.column and (field.name not in personal - self.hashed)
        )
        self.kinds = {
            field.name: "text" if field.name in self.hashed else field.kind for field in self.fields
        }
        self._positive = Reading(text.positive, self.kinds) if text.positive else None

    @property
    def is_scored(self) -> bool:
        """Whether its records ask for decisions."""
        return self.role == SCORED

    @property
    def is_labels(self) -> bool:
        """Whether its records say what became of others."""
        return self.role == LABELS

    @property
    def drops_repeats(self) -> bool:
        """Whether a record that comes again is dropped."""
        return bool(self.ids) and not self.is_labels

    @property
    def dead_letters(self) -> str:
        """The topic of what was refused."""
        return f"{self.topic}.dlq"

    @property
    def columns(self) -> set[str]:
        """The columns of its rows behind the gate, without those that all rows have."""
        made = {field.name for field in self.fields}
        return (
            made | ({POSITIVE} if self._positive else set()) | ({"traceparent"} if self.is_scored else set())
        )

    def never_lacks(self, fields: Sequence[str]) -> bool:
        """Whether each of its records has these fields."""
        here = {field.name for field in self.fields}
        return all(
            name in here and name in terms.by_name and terms.by_name[name].never_null
            for name in fields for terms in self.versions
        )  # fmt: skip

    def judged(self, record: Record, secrets: Sequence[tuple[int, bytes]]) -> tuple[str, Row]:
        """Return the code of a raw record, empty when it is good, and its row as the first stage reads it."""
        code, values = checked(self.versions, record.timestamp_ms, record.key, record.value)
        if code:
            return code, {}
        row: Row = {
            field.name: self._cell(field, values, record.timestamp_ms, secrets) for field in self.fields
        }
        if self._positive is not None:
            row[POSITIVE] = int(self._positive.of(self.plain(row)).value is True)
        place = {"raw_partition": record.partition, "raw_offset": record.offset}
        return "", row | place | {"appended_ms": record.timestamp_ms}

    def plain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row's fields as values of their kinds, None for null."""
        return {field.name: _plain(field, row[field.name], self.kinds[field.name]) for field in self.fields}

    def content(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what makes two records of one id the same: every field that is not personal."""
        return tuple(_bits(row[field.name]) for field in self.fields if field.name not in self.hashed)

    def _cell(
        self, field: Field, values: Mapping[str, Any], timestamp_ms: int, secrets: Sequence[tuple[int, bytes]]
    ) -> Any:
        if field.name not in self.hashed:
            return values.get(field.name, NULLS[field.column])
        return hashed(_text(values.get(field.name)), timestamp_ms, secrets)


def hashed(text: bytes, timestamp_ms: int, secrets: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the keyed hash of a personal text, by the secret in force at its log timestamp."""
    held = [secret for from_ms, secret in secrets if from_ms <= timestamp_ms]
    secret = held[-1] if held else secrets[0][1]
    return blake2b(text, digest_size=HASH_BYTES, key=secret).hexdigest().encode() if text else b""


def _bits(value: Any) -> Any:
    return "nan" if value != value else value


def _plain(field: Field, value: Any, kind: str) -> Any:
    if value in (b"", NULL) or value != value:
        return None if kind != "text" or not field.never_null else ""
    if kind == "text":
        return value.decode()
    if kind == "bool":
        return value == 1
    return Fraction(value, 10**field.scale) if kind == "decimal" else value


class ProjectOracle:
    """The sources and the chain of a run."""

    def __init__(self, declared: Declared) -> None:
        self.links = tuple(
            LinkOracle(name, tuple(fields), n) for n, (name, fields) in enumerate(declared.chain)
        )
        self.secrets = [(from_ms, bytes.fromhex(text)) for from_ms, text in sorted(declared.secrets)]
        keys = {name for link in self.links for name in link.fields}
        self.sources = tuple(
            SourceOracle(number, text, frozenset(keys | _items(declared, number)))
            for number, text in enumerate(declared.sources, 1)
        )
        self.by_topic = {source.topic: source for source in self.sources}
        self.by_number = {source.number: source for source in self.sources}
        self.partitions = declared.partitions

    @property
    def scored(self) -> SourceOracle:
        """The source whose records ask for decisions."""
        return self.sources[0]

    @cached_property
    def labels(self) -> tuple[SourceOracle, ...]:
        """The sources of labels."""
        return tuple(source for source in self.sources if source.is_labels)

    @property
    def first(self) -> LinkOracle:
        """Where records enter."""
        return self.links[0]

    def target(self, source: SourceOracle, link: LinkOracle, row: Mapping[str, Any]) -> int:
        """Return the partition of a row at a stage: by its key's first field, else by its id or its place."""
        if link.key(row):
            return partition_of(key_of(row, link.fields[:1]), self.partitions)
        other = key_of(row, source.ids) if source.ids else b"%d" % row["raw_offset"]
        return partition_of(other, self.partitions)

    def event_id(self, row: Mapping[str, Any]) -> str:
        """Return how decisions name an event of the scored source: without what stands among its keys."""
        keys = {"_".join(link.fields) for link in self.links}
        fields = [name for name in self.scored.ids if name not in keys] or self.scored.ids
        if not fields:
            return f"{row['raw_partition']}-{row['raw_offset']}"
        return b"/".join(_text(row[name]) for name in fields).decode()

    def keys(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        """Return a row's key of each entity."""
        return {link.name: link.key(row).decode() or None for link in self.links}

    def dataset(self, source: SourceOracle) -> str:
        """Return the lake's dataset of a source's rows in the log of features."""
        if source.is_scored:
            return "features"
        return "label_log" if self.labels == (source,) else f"{source.name}_log"


def _items(declared: Declared, number: int) -> set[str]:
    """Return the fields of a source by which its views tell items apart."""
    views = [view for entity in declared.entities for view in entity["views"] if view["rows"] == number]
    named = [view.get("item", "") for view in views]
    named += [feature.get("item", "") for view in views for feature in view["features"]]
    return {name for item in named for name in item.split("+") if name}


def terms_at(source: SourceOracle, timestamp_ms: int) -> Terms:
    """Return the version that judged a good record."""
    return max((one for one in source.versions if one.from_ms <= timestamp_ms), key=lambda one: one.from_ms)
