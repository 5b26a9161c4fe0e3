"""Read one property of an ODCS schema: name, place in the JSON, type, range, and what headrace adds to it."""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from keyword import iskeyword
from typing import Any

from contracts.contract_version import ContractField, FieldType, Shape, TimeFormat
from contracts.yaml_part import YamlPart

EPOCHS: tuple[TimeFormat, ...] = ("epoch_s", "epoch_ms", "epoch_us")
TYPES: dict[str, FieldType] = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "other",
    "timestamp": "time",
}
OPTIONS = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": ("minimum", "maximum", "format"),
    "number": ("minimum", "maximum", "format"),
    "timestamp": ("minimum", "maximum", "format", "timezone", "defaultTimezone"),
}
FIELD_PROPERTIES = ("acceptedOnly", "notBefore", "currencyField")
_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)", re.IGNORECASE)
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")
_UTC = ("UTC", "Etc/UTC", "Z")
TIMES_MAX = 2**53  # of an epoch, in the unit that it is written in
DIGITS_MAX = 18  # of a decimal: its integer fits 63 bits
Bounds = tuple[int | float | None, int | float | None]


def read_field(prop: YamlPart) -> ContractField | None:
    """Return a field; None where a problem was noted that leaves nothing of it.

    >>> from contracts.yaml_part import Document
    >>> value = {"name": "fare", "logicalType": "number", "physicalType": "decimal(9,2)", "required": True,
    ...          "logicalTypeOptions": {"minimum": -10, "maximum": "99.95"}}
    >>> field = read_field(Document("a.yaml", value, {(): 1}).top)
    >>> field.type, field.scale, field.low, field.high
    ('decimal', 2, -1000, 9995)
    """
    name, before = prop.text("name"), len(prop.document.problems)
    if name and not is_name(name) and name != "*":
        prop.wrong(
            "E_ODCS_NAME",
            f"{name!r} cannot be a name",
            "use letters, digits and _, first no digit, no keyword",
        )
    holder, shape = _holder(prop)
    kind = _type(holder) if holder.is_mapping else "other"
    facts = _facts(prop, holder, kind)
    if len(prop.document.problems) > before:
        return None
    return ContractField(
        name=name,
        path=_path(prop, name),
        required=prop.flag("required"),
        line=prop.line,
        shape=shape,
        type=kind if shape == "one" else "other",
        item_type=kind,
        **facts,
    )


def is_name(name: str) -> bool:
    """Return whether a name can be written in an expression, in Python and in a frame's schema.

    >>> is_name("line1"), is_name("Amount"), is_name("1st"), is_name("class"), is_name("größe")
    (True, True, False, False, False)
    """
    return name.isascii() and name.isidentifier() and not iskeyword(name)


def properties_of(part: YamlPart, known: Iterable[str]) -> dict[str, YamlPart]:
    """Return the custom properties of a part by name; a name that is nearly one of `known` is a problem."""
    found: dict[str, YamlPart] = {}
    for item in part.parts("customProperties", optional=True):
        name = item.text("property")
        if name in found:
            item.wrong("E_ODCS_PROPERTY", f"the property {name!r} twice", "leave one of them out")
        elif name not in known and _nearly(name, known):
            item.wrong(
                "E_ODCS_PROPERTY",
                f"the property {name!r} means nothing here",
                "correct its name",
                (name, known),
            )
        found[name] = item
    return found


def _nearly(name: str, known: Iterable[str]) -> bool:
    """Return whether a name is a known one but for case, - or _ or one letter: others are not ours."""
    plain = name.lower().replace("_", "").replace("-", "")
    return any(_one_letter_apart(plain, other.lower()) for other in known)


def _one_letter_apart(left: str, right: str) -> bool:
    if abs(len(left) - len(right)) > 1:
        return False
    same = next(
        (at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    swapped = left[same : same + 2] == right[same : same + 2][::-1] and left[same + 2 :] == right[same + 2 :]
    return (
        swapped
        or left[same + 1 :] == right[same + 1 :]
        or left[same:] == right[same + 1 :]
        or left[same + 1 :] == right[same:]
    )


def _holder(prop: YamlPart) -> tuple[YamlPart, Shape]:
    """Return the part that describes one value: of an array, of a map, or the property itself."""
    if prop.word("logicalType") == "array":
        return prop.mapping("items"), "list"
    if prop.word("physicalType") == "map":
        inner = next(iter(prop.parts("properties")), None)
        return (inner or YamlPart(prop.document, prop.way, {})), "map"
    return prop, "one"


def _type(holder: YamlPart) -> FieldType:
    logical, physical = holder.text("logicalType"), holder.text("physicalType", "")
    if logical not in TYPES:
        if logical:
            holder.wrong(
                "E_ODCS_TYPE",
                f"logicalType {logical!r} is not one that is read",
                f"choose one of {', '.join(TYPES)}, array",
                (logical, TYPES),
            )
        return "other"
    if physical in EPOCHS and logical == "integer":
        return "time"
    if logical in ("number", "string") and physical.lower().startswith("decimal"):
        return "decimal"
    if physical.lower().startswith(("epoch", "decimal")):
        holder.wrong(
            "E_ODCS_TYPE",
            f"physicalType {physical!r} with logicalType {logical!r}",
            "write integer with epoch_s, epoch_ms or epoch_us, and number with decimal(digits, scale)",
            (physical, EPOCHS),
        )
    return TYPES[logical]


def _path(prop: YamlPart, name: str) -> tuple[str, ...]:
    """Return the way into the JSON: `physicalName` as a.b.c, or as a JSON Pointer (/a/b~1c)."""
    physical = prop.text("physicalName", name)
    if physical.startswith("/"):
        return tuple(key.replace("~1", "/").replace("~0", "~") for key in physical[1:].split("/"))
    return tuple(physical.split("."))


def _facts(prop: YamlPart, holder: YamlPart, kind: FieldType) -> dict[str, Any]:
    """Return what there is to say of a field beside its name and type."""
    custom = properties_of(prop, FIELD_PROPERTIES)
    facts: dict[str, Any] = {
        "enum": _enum(holder),
        "not_before": _said(custom, "notBefore"),
        "currency": _said(custom, "currencyField"),
        "accepted": _said(custom, "acceptedOnly"),
        "personal": prop.text("classification", "") == "personal",
        "item_required": bool(holder.value.get("required", True)),
    }
    if facts["accepted"] and facts["accepted"] not in facts["enum"]:
        custom["acceptedOnly"].wrong(
            "E_ODCS_ENUM",
            f"acceptedOnly {facts['accepted']!r} is not in the enum",
            "name one of its values",
            (facts["accepted"], facts["enum"]),
        )
    facts |= _typed_facts(holder, kind)
    if kind == "decimal":
        facts["quoted"] = holder.word("logicalType") == "string"
    if kind == "other" and holder.value.get("properties"):
        inner = [read_field(part) for part in holder.parts("properties")]
        facts["inner"] = tuple(field for field in inner if field)
        facts["object_name"] = holder.text("businessName", "")
    return facts


def _said(custom: dict[str, YamlPart], name: str) -> str:
    return custom[name].text("value") if name in custom else ""


def _enum(holder: YamlPart) -> tuple[str, ...]:
    values = []
    for item in holder.parts("enum", optional=True):
        value = item.text("value")
        if value in values:
            item.wrong("E_ODCS_ENUM", f"the value {value!r} twice", "leave one of them out")
        values.append(value)
    return tuple(values)


def _typed_facts(holder: YamlPart, kind: FieldType) -> dict[str, Any]:
    """Return range, scale and form of a value by its type."""
    options = holder.mapping("logicalTypeOptions")
    known = OPTIONS["number"] if kind == "decimal" else OPTIONS.get(holder.word("logicalType"), ())
    for name in options.value:
        if name not in known:
            options.at(name).wrong(
                "E_ODCS_OPTION",
                f"the option {name!r} of a {holder.word('logicalType')} is not read",
                f"use {', '.join(known)}" if known else "leave it out",
                (name, known),
            )
    match kind:
        case "string":
            return _text_facts(options)
        case "decimal":
            return _decimal_facts(holder, options)
        case "time":
            return _time_facts(holder, options)
        case "integer" | "number":
            return _range(options, "minimum", "maximum", _number)
    return {}


def _text_facts(options: YamlPart) -> dict[str, Any]:
    facts = _range(options, "minLength", "maxLength", _number)
    if pattern := options.text("pattern", ""):
        if pattern != f"^[A-Z]{{{facts['low']}}}$" or facts["low"] != facts["high"]:
            options.at("pattern").wrong(
                "E_ODCS_OPTION", f"the pattern {pattern!r}", "write ^[A-Z]{n}$ with minLength = maxLength = n"
            )
        facts["letters"] = True
    return facts


def _range(options: YamlPart, least: str, most: str, number: Any) -> dict[str, Any]:
    low, high = (number(options.at(name)) if options.has(name) else None for name in (least, most))
    if low is not None and high is not None and low > high:
        options.at(least).wrong("E_ODCS_RANGE", f"{least} is above {most}", "exchange them")
    bits = {"i64": 63, "i32": 31}.get(options.word("format"), 0) if least == "minimum" else 0
    if bits:
        low, high = (-(2**bits) if low is None else low), (2**bits - 1 if high is None else high)
    return {"low": low, "high": high}


def _number(part: YamlPart) -> int | float | None:
    if isinstance(part.value, int | float) and not isinstance(part.value, bool) and math.isfinite(part.value):
        return part.value
    part.wrong("E_ODCS_RANGE", f"{part.way[-1]} is {part.value!r:.60}, no number", "write a number there")
    return None


def _decimal_facts(holder: YamlPart, options: YamlPart) -> dict[str, Any]:
    """Return scale and range in units of the last digit; without bounds the digits are the range."""
    found = _DECIMAL.fullmatch(holder.text("physicalType"))
    digits, scale = (int(found[1]), int(found[2])) if found else (0, 0)
    if not found or not scale <= digits <= DIGITS_MAX or digits == 0:
        holder.at("physicalType").wrong(
            "E_ODCS_TYPE",
            f"physicalType {holder.value['physicalType']!r}",
            f"write decimal(digits, scale), as decimal(12, 2), of at most {DIGITS_MAX} digits",
        )
        return {}
    facts = _range(options, "minimum", "maximum", lambda part: _scaled(part, scale))
    most = 10**digits - 1
    facts["low"] = -most if facts["low"] is None else facts["low"]
    facts["high"] = most if facts["high"] is None else facts["high"]
    return facts | {"scale": scale}


def _scaled(part: YamlPart, scale: int) -> int | None:
    try:
        scaled = Decimal(str(part.value)).scaleb(scale)
    except InvalidOperation:
        _number(YamlPart(part.document, part.way, str(part.value)))
        return None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        part.wrong(
            "E_ODCS_RANGE", f"{part.value} has more digits than the scale {scale}", "round it to the scale"
        )
        return None
    return int(scaled)


def _time_facts(holder: YamlPart, options: YamlPart) -> dict[str, Any]:
    if holder.value["logicalType"] != "timestamp":
        facts = _range(options, "minimum", "maximum", _number) | {"time_format": holder.value["physicalType"]}
        return {**facts, **_bounded(facts)}
    zone = options.text("defaultTimezone", "" if options.flag("timezone", True) else "UTC")
    if zone and zone not in _UTC and not _OFFSET.fullmatch(zone):
        options.at("defaultTimezone").wrong(
            "E_ODCS_TIME",
            f"the zone {zone!r} is no fixed offset from UTC",
            "write UTC or an offset such as +02:00: in a zone with summer time an hour of each year is two",
        )
    offset = "+00:00" if zone in _UTC else zone
    return _range(options, "minimum", "maximum", _moment) | {"time_format": "iso8601", "zone": offset}


def _bounded(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the bounds of a time less what no column of milliseconds holds: 300,000 years will do."""
    bounds = {name: facts[name] for name in ("low", "high") if facts[name] is not None}
    return {name: max(-TIMES_MAX, min(TIMES_MAX, bound)) for name, bound in bounds.items()}


def _moment(part: YamlPart) -> int | None:
    ms = epoch_ms(part.value)
    if ms is None:
        part.wrong(
            "E_ODCS_TIME", f"{part.value!r:.60} is no time with an offset", "write it as 2024-01-31T00:00:00Z"
        )
    return ms


def epoch_ms(text: object) -> int | None:
    """Return the epoch milliseconds of an RFC 3339 time; None for what is none.

    >>> epoch_ms("1970-01-01T00:00:01Z")
    1000
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return None if moment.tzinfo is None else round(moment.timestamp() * 1000)
