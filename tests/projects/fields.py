"""The fields of drawn contracts: as a contract and a record have them, and what they are to the oracle."""

import random
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.projects.told import Typed

START_MS = 1_700_000_000_000


class Field(NamedTuple):
    """One field of one source: its lines in the contract, its type for the oracle, and where its JSON is."""

    name: str
    kind: str  # text, int, decimal, bool, time
    required: bool
    options: str = ""  # behind the name in the contract's line
    path: tuple[str, ...] = ()
    scale: int = 0
    quoted: bool = False
    written: str = "iso"  # of a time
    values: tuple[Any, ...] = ()
    hashed: bool = False
    never_null: bool = False

    @property
    def typed(self) -> Typed:
        """Return the field as conditions read it."""
        return Typed(self.kind, not self.never_null, self.scale)

    @property
    def line(self) -> str:
        """Return its line in a contract."""
        where = f", physicalName: {'.'.join(self.path)}" if self.path else ""
        required = ", required: true" if self.required else ""
        return f"      - {{name: {self.name}{where}{required}{self.options}}}\n"


ID = ", logicalType: string, primaryKey: true"
KEYS = ("account", "device", "ip", "site")
ENUM = ", logicalType: string, enum: [{value: bad}, {value: good}]"
CHANNELS = ("web", "app", "api")
CHANNEL = ", logicalType: string, enum: [" + ", ".join(f"{{value: {one}}}" for one in CHANNELS) + "]"


class Common(NamedTuple):
    """What is alike in all sources of a project: a field has one type."""

    personal: bool
    quoted: bool
    low: int
    nullable: frozenset[str]


def common(rng: random.Random) -> Common:
    """Draw what all sources share."""
    nullable = frozenset(name for name in ("device", "ip", "site") if rng.random() < 0.4)
    return Common(rng.random() < 0.6, rng.random() < 0.5, rng.choice((-999, 0)), nullable)


def fields_of(rng: random.Random, of: Common, keys: set[str], role: str) -> list[Field]:
    """Draw a source's fields: its keys, what it measures, and what happened when."""
    found = [_key(name, of, rng) for name in KEYS if name in keys]
    found.append(_time("at", rng))
    if role == "labels":
        found += [
            _time("known_at", rng),
            Field("outcome", "text", True, ENUM, values=("bad", "good"), never_null=True),
        ]
        return found
    below = f", logicalType: integer, logicalTypeOptions: {{minimum: {of.low}, maximum: 999}}"
    price = ", logicalType: string" if of.quoted else ", logicalType: number"
    required = rng.random() < 0.5
    found += [
        Field("outcome", "text", True, ENUM, values=("bad", "good"), never_null=True),
        Field("channel", "text", required, CHANNEL, _deep(rng, "channel"), values=CHANNELS,
              never_null=required),
        Field("shop", "text", False, ", logicalType: string", values=("s1", "s2", "s3")),
        Field("tries", "int", True, ", logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 999}",
              values=(0, 1, 7, 501, 999), never_null=True),
        Field("balance", "int", False, below, _deep(rng, "balance"),
              values=tuple(v for v in (-999, -3, 0, 20, 999) if v >= of.low)),
        Field("price", "decimal", False, f'{price}, physicalType: "decimal(4, 2)"', scale=2, quoted=of.quoted,
              values=(-9999, -25, 0, 50, 1205, 9999)),
        Field("trusted", "bool", False, ", logicalType: boolean", _deep(rng, "trusted"),
              values=(True, False)),
        Field("email", "text", False, ", logicalType: string, classification: personal",
              values=("a@b", "c@d")),
    ]  # fmt: skip
    return found


def value_of(field: Field, value: Any, at_ms: int) -> Any:
    """Return what a record's JSON has for a value; of a time, of a moment."""
    if field.kind == "time":
        if field.written == "iso":
            return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
        return at_ms // 1000 if field.written == "epoch_s" else at_ms
    if field.kind == "decimal" and value is not None:
        sign, units = ("-" if value < 0 else ""), abs(value)
        text = f"{sign}{units // 100}.{units % 100:02d}"
        return text if field.quoted else float(text)
    return value


def _key(name: str, of: Common, rng: random.Random) -> Field:
    required = name not in of.nullable
    if name == "site":
        options = ", logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 99}"
        return Field(name, "int", required, options, values=(3, 4), never_null=required)
    options = ", logicalType: string, logicalTypeOptions: {minLength: 1, maxLength: 40}"
    hashed = name == "ip" and of.personal
    if hashed:
        options += ", classification: personal"
    values = ("192.0.2.1", "192.0.2.2") if name == "ip" else (f"{name}-1", f"{name}-2", f"{name}é3")
    return Field(
        name, "text", required, options, _deep(rng, name), values=values, hashed=hashed, never_null=required
    )


def _time(name: str, rng: random.Random) -> Field:
    written = rng.choice(("iso", "epoch_ms", "epoch_s"))
    options = ", logicalType: timestamp"
    if written != "iso":
        options = f", logicalType: integer, physicalType: {written}"
    return Field(name, "time", True, options, written=written, never_null=True)


def _deep(rng: random.Random, name: str) -> tuple[str, ...]:
    return ("client", name) if rng.random() < 0.3 else ()
