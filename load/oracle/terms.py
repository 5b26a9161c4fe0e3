"""A contract (Open Data Contract Standard v3.1) read a second time, by a reader of the oracle's own.

Scalars of the file come as texts and are read here, so that nothing of YAML's own types has a say.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

NULL = -(2**63)  # of a whole number, time, decimal or truth value on the wire
INT_MAX = 2**63 - 1
TIME_MAX_MS = 1000 * (2**32 - 1)
TEXT_BYTES_MAX = 256
DAY_MS = 86_400_000
KINDS = {
    "string": "text", "integer": "int", "number": "float", "boolean": "bool", "object": "object",
    "timestamp": "time",
}  # fmt: skip
EPOCHS = ("epoch_s", "epoch_ms", "epoch_us")
LIMITS = {
    "valueBytesMax": 65_536, "fieldsMax": 256, "fieldBytesMax": 4_096, "depthMax": 64, "keyBytesMax": 256,
    "headersBytesMax": 16_384, "headersMax": 256, "skewMs": 300_000,
}  # fmt: skip


class Field(NamedTuple):
    """One field.

    `kind` is text, int, decimal, float, bool, time or object; `low` and `high` are of the number as it is
    written (of a text its bytes, of ISO times epoch ms, of decimals smallest units), None where the contract
    names none.
    """

    name: str
    path: tuple[str, ...]
    kind: str
    required: bool
    low: Any = None
    high: Any = None
    scale: int = 0
    quoted: bool = False
    enum: tuple[str, ...] = ()
    accepted: str = ""
    written: str = ""  # how a time is
    zone: str = ""
    not_before: str = ""
    letters: bool = False
    personal: bool = False

    @property
    def column(self) -> str:
        """What the wire has of it: text, int, float, or nothing."""
        if self.kind == "object" or (
            self.kind == "text" and not self.enum and (self.high or 0) > TEXT_BYTES_MAX
        ):
            return ""
        return {"text": "text", "float": "float"}.get(self.kind, "int")

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The least and greatest that is taken."""
        usual: dict[str, tuple[Any, Any]] = {
            "text": (0, TEXT_BYTES_MAX), "bool": (0, 1), "time": (0, _time_most(self.written)),
            "float": (float("-inf"), float("inf")),
        }  # fmt: skip
        least, most = usual.get(self.kind, (-INT_MAX, INT_MAX))
        return least if self.low is None else self.low, most if self.high is None else self.high

    @property
    def never_null(self) -> bool:
        """Whether its column always holds something; an empty text is null."""
        filled = "" not in self.enum if self.enum else self.bounds[0] >= 1
        return self.required and (self.column != "text" or filled)


class Terms(NamedTuple):
    """One version of a contract."""

    topic: str
    contract: str
    version: str
    from_ms: int
    fields: tuple[Field, ...]
    ids: tuple[str, ...]
    key_field: str
    event_time: str
    known_at: str
    deduplicate_ms: int
    limits: Mapping[str, int]

    @property
    def by_name(self) -> dict[str, Field]:
        """The fields by name."""
        return {field.name: field for field in self.fields}


def read_terms(text: str) -> Terms:
    """Return what a contract's file says.

    >>> head = "id: c\\nversion: '1'\\nschema:\\n- {name: C, physicalName: clicks, properties: ["
    >>> terms = read_terms(head + "{name: at, logicalType: timestamp, required: true}]}")
    >>> terms.topic, terms.event_time, terms.fields[0].bounds
    ('clicks', 'at', (0, 4294967295000))
    """
    top = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # texts, lists and mappings alone
    schema = top["schema"][0]
    properties = schema["properties"]
    fields = tuple(map(_field, properties))
    custom = _custom(top)
    times = [field.name for field in fields if field.kind == "time"]
    keys = {field.path[:depth] for field in fields for depth in range(1, len(field.path) + 1)}
    limits = {**LIMITS, "fieldsMax": max(LIMITS["fieldsMax"], 2 * len(keys))}
    return Terms(
        topic=schema["physicalName"],
        contract=top["id"],
        version=top["version"],
        from_ms=_moment_ms(custom["effectiveFrom"]) if "effectiveFrom" in custom else 0,
        fields=fields,
        ids=_ids(properties),
        key_field=custom.get("keyField", ""),
        event_time=custom.get("eventTime", times[0] if len(times) == 1 else ""),
        known_at=custom.get("knownAt", ""),
        deduplicate_ms=int(custom.get("deduplicateMs", DAY_MS)),
        limits=limits | {name: int(custom[name]) for name in LIMITS if name in custom},
    )


def _custom(part: Mapping[str, Any]) -> dict[str, str]:
    return {one["property"]: one["value"] for one in part.get("customProperties", [])}


def _ids(properties: list[dict[str, Any]]) -> tuple[str, ...]:
    keys = [one for one in properties if one.get("primaryKey") == "true"]
    placed = [(int(one.get("primaryKeyPosition", at)), one["name"]) for at, one in enumerate(keys, 1)]
    return tuple(name for _, name in sorted(placed))


def _field(prop: Mapping[str, Any]) -> Field:
    name, custom = prop["name"], _custom(prop)
    plain = Field(
        name=name,
        path=_path(prop.get("physicalName", name)),
        kind=_kind(prop),
        required=prop.get("required") == "true",
        enum=tuple(item["value"] for item in prop.get("enum", [])),
        accepted=custom.get("acceptedOnly", ""),
        not_before=custom.get("notBefore", ""),
        personal=prop.get("classification") == "personal",
    )
    return plain._replace(**_facts(plain.kind, prop))


def _path(physical: str) -> tuple[str, ...]:
    if physical.startswith("/"):
        return tuple(key.replace("~1", "/").replace("~0", "~") for key in physical[1:].split("/"))
    return tuple(physical.split("."))


def _kind(prop: Mapping[str, Any]) -> str:
    logical, physical = prop["logicalType"], prop.get("physicalType", "").lower()
    if logical == "array" or physical == "map":
        return "object"
    if logical == "integer" and physical in EPOCHS:
        return "time"
    return "decimal" if physical.startswith("decimal") else KINDS[logical]


def _facts(kind: str, prop: Mapping[str, Any]) -> dict[str, Any]:
    """Return range, scale and form of a value."""
    options, physical = prop.get("logicalTypeOptions", {}), prop.get("physicalType", "")
    low, high = options.get("minimum"), options.get("maximum")
    if kind == "text":
        low, high = (int(options[name]) if name in options else None for name in ("minLength", "maxLength"))
        return {"low": low, "high": high, "letters": "pattern" in options}
    if kind == "decimal":
        digits, scale = (int(part) for part in re.findall(r"\d+", physical))
        most = 10**digits - 1
        low, high = (_scaled(one, scale) for one in (low or -Decimal(most).scaleb(-scale),
                                                     high or Decimal(most).scaleb(-scale)))  # fmt: skip
        return {"low": low, "high": high, "scale": scale, "quoted": prop["logicalType"] == "string"}
    if kind == "time" and prop["logicalType"] == "timestamp":
        zone = options.get("defaultTimezone", "UTC" if options.get("timezone") == "false" else "")
        return {
            "low": None if low is None else _moment_ms(low),
            "high": None if high is None else _moment_ms(high),
            "written": "iso8601",
            "zone": "+00:00" if zone in ("UTC", "Etc/UTC", "Z") else zone,
        }
    if kind in ("int", "float", "time"):
        bits = {"i64": 63, "i32": 31}.get(options.get("format", ""), 0)
        found = [
            None if one is None else float(one) if kind == "float" else int(Decimal(one))
            for one in (low, high)
        ]
        if bits:
            found = [
                -(2**bits) if found[0] is None else found[0],
                2**bits - 1 if found[1] is None else found[1],
            ]
        return {"low": found[0], "high": found[1], "written": physical if kind == "time" else ""}
    return {}


def _scaled(number: Any, scale: int) -> int:
    return int(Decimal(str(number)).scaleb(scale))


def _moment_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _time_most(written: str) -> int:
    return {"epoch_s": TIME_MAX_MS // 1000, "epoch_us": TIME_MAX_MS * 1000}.get(written, TIME_MAX_MS)
