"""Write `contracts/events.py` from the contract files beside it: `python -m contracts.generate`.

The YAML is what people and other tools read; the Structs are what the processes decode with. A test
writes them again and compares, so the two cannot part.
"""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.yaml_file import load

HERE = Path(__file__).parent
LIMITS = {
    "valueBytesMax": "value_bytes_max",
    "fieldsMax": "fields_max",
    "fieldBytesMax": "field_bytes_max",
    "depthMax": "depth_max",
    "keyBytesMax": "key_bytes_max",
    "headersBytesMax": "headers_bytes_max",
    "headersMax": "headers_max",
    "skewMs": "skew_ms",
}
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
PREAMBLE = '''"""Events as typed Structs, and the contracts' terms as data. Generated: `make contracts`.

A field that may be absent is UNSET when it was not written and None when it was written as null.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.terms import Field, Limits, Terms

'''

Property = dict[str, Any]


def contract_files(folder: Path) -> list[Path]:
    """Return the contract files of a folder, in the order their Structs are written."""
    return sorted(folder.glob("*.yaml"), reverse=True)


def source(folder: Path) -> str:
    """Return the text of `events.py`, formatted.

    Raises:
        ConfigError: E_CONFIG_YAML or E_CONFIG_CONTRACT, with the file and the path in it.
    """
    loaded = [(path, load(path)) for path in contract_files(folder)]
    structs = [text for path, contract in loaded for text in _structs(path, contract)]
    terms = [_terms(path, contract) for path, contract in loaded]
    by_start = sorted(terms)
    table = "TERMS: tuple[Terms, ...] = (\n" + ",\n".join(text for _, _, text in by_start) + ",\n)\n"
    return _formatted(PREAMBLE + "\n\n".join(structs) + "\n\n" + table)


def _structs(path: Path, contract: Property) -> Iterator[str]:
    for schema in contract["schema"]:
        yield from _struct(path, schema["name"], schema.get("description", ""), schema["properties"])


def _struct(path: Path, name: str, about: str, properties: list[Property]) -> Iterator[str]:
    """Yield the Structs that a list of properties needs, inner ones first."""
    lines = []
    seen: set[str] = set()
    for prop in properties:
        where = f"{path}: {name}.{prop.get('name')}"
        if prop["name"] in seen:
            raise _wrong(where, "declared twice")
        seen.add(prop["name"])
        yield from _inner(path, prop)
        optional = not prop.get("required", False)
        kind = _type(where, prop) + (" | None | UnsetType" if optional else "")
        lines.append(f"    {prop['name']}: {kind}{' = UNSET' if optional else ''}")
    yield (
        f"class {name}(Struct, frozen=True, kw_only=True, gc=False):\n"
        f'    """{about or "Part of a record."}"""\n\n' + "\n".join(lines) + "\n"
    )


def _inner(path: Path, prop: Property) -> Iterator[str]:
    holder = _holder(prop)
    if holder.get("logicalType") == "object" and "businessName" in holder:
        yield from _struct(
            path,
            holder["businessName"],
            prop.get("description", ""),
            holder["properties"],
        )


def _holder(prop: Property) -> Property:
    """Return the property that describes one value: of an array, of a map, or the property itself."""
    if prop["logicalType"] == "array":
        return dict(prop["items"])
    if prop.get("physicalType") == "map":
        return dict(prop["properties"][0])
    return prop


def _type(where: str, prop: Property) -> str:
    holder = _holder(prop)
    inner = _scalar(where, holder)
    if prop["logicalType"] == "array":
        return f"list[{inner}{'' if holder.get('required', True) else ' | None'}]"
    if prop.get("physicalType") == "map":
        return f"dict[str, {inner}]"
    return inner


def _scalar(where: str, prop: Property) -> str:
    if "enum" in prop:
        values = [item["value"] for item in prop["enum"]]
        if not all(isinstance(value, str) for value in values):
            raise _wrong(where, "enum values are strings and quoted")
        return "Literal[" + ", ".join(repr(value) for value in values) + "]"
    if prop["logicalType"] == "object":
        return str(prop["businessName"])
    if prop["logicalType"] not in TYPES:
        raise _wrong(where, f"unknown logicalType {prop['logicalType']!r}")
    low, high = _bounds(where, prop)
    names = ("min_length", "max_length") if prop["logicalType"] == "string" else ("ge", "le")
    meta = [f"{name}={value}" for name, value in zip(names, (low, high), strict=True) if value is not None]
    kind = TYPES[prop["logicalType"]]
    return f"Annotated[{kind}, Meta({', '.join(meta)})]" if meta else kind


def _bounds(where: str, prop: Property) -> tuple[int | float | None, int | float | None]:
    options = prop.get("logicalTypeOptions", {})
    names = ("minLength", "maxLength") if prop["logicalType"] == "string" else ("minimum", "maximum")
    unknown = set(options) - {*names, "format", "pattern"}
    if unknown:
        raise _wrong(where, f"options {sorted(unknown)} are not understood")
    low, high = (options.get(name) for name in names)
    if low is not None and high is not None and low > high:
        raise _wrong(where, f"{names[0]} is above {names[1]}")
    if high is None and options.get("format") == "i64":
        high = 2**63 - 1
    if high is None and options.get("format") == "i32":
        high = 2**31 - 1
    if low is None and options.get("format") in ("i64", "i32"):
        low = -(2**63) if options["format"] == "i64" else -(2**31)
    return low, high


def _terms(path: Path, contract: Property) -> tuple[str, int, str]:
    """Return (topic, start, text) of a contract's `Terms`: sorted by these, versions stand oldest first."""
    schema = contract["schema"][0]
    custom = {item["property"]: item["value"] for item in contract["customProperties"]}
    start_ms = _epoch_ms(path, custom.get("effectiveFrom"))
    limits = {ours: custom[theirs] for theirs, ours in LIMITS.items() if theirs in custom}
    fields = [_field(path, prop) for prop in schema["properties"]]
    names = {prop["name"] for prop in schema["properties"]}
    if limits and (limits["fields_max"] < len(names) or min(limits.values()) < 1):
        raise _wrong(f"{path}: customProperties", "the limits leave no room for the schema's own fields")
    if custom.get("keyField") not in names:
        raise _wrong(f"{path}: customProperties.keyField", "is not a field of the schema")
    text = (
        f"Terms(topic={schema['physicalName']!r}, contract={contract['id']!r}, "
        f"version={contract['version']!r}, effective_from_ms={start_ms}, key_field={custom['keyField']!r}, "
        f"struct={schema['name']}, fields=({', '.join(fields)},)"
        + (f", limits=Limits({', '.join(f'{k}={v}' for k, v in limits.items())})" if limits else "")
        + ")"
    )
    return schema["physicalName"], start_ms, text


def _field(path: Path, prop: Property) -> str:
    where = f"{path}: {prop['name']}"
    low, high = _bounds(where, prop)
    kind = "time" if prop.get("physicalType") == "epoch_ms" else prop["logicalType"]
    parts: dict[str, object] = {
        "name": prop["name"],
        "kind": kind if kind in ("string", "integer", "time", "number") else "other",
        "required": bool(prop.get("required", False)),
        "low": low,
        "high": high,
    }
    if "enum" in prop:
        parts["enum"] = tuple(item["value"] for item in prop["enum"])
    if pattern := prop.get("logicalTypeOptions", {}).get("pattern"):
        if not (pattern == f"^[A-Z]{{{low}}}$" and low == high):
            raise _wrong(
                where,
                f"pattern {pattern!r}: only ^[A-Z]{{n}}$ with minLength = maxLength = n",
            )
        parts["letters"] = True
    if prop.get("classification") == "personal":
        parts["personal"] = True
    return "Field(" + ", ".join(f"{k}={v!r}" for k, v in parts.items() if v is not None) + ")"


def _epoch_ms(path: Path, text: object) -> int:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _wrong(f"{path}: effectiveFrom", "is not an RFC 3339 time") from error
    if moment.tzinfo is None:
        raise _wrong(f"{path}: effectiveFrom", "has no offset from UTC")
    return int(moment.timestamp() * 1000)


def _wrong(where: str, what: str) -> ConfigError:
    return ConfigError("E_CONFIG_CONTRACT", what, where, "mend the contract")


def _formatted(text: str) -> str:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--line-length",
        "110",
        "--stdin-filename",
        "events.py",
        "-",
    ]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=HERE.parent)
    return done.stdout


if __name__ == "__main__":
    (HERE / "events.py").write_text(source(HERE))
