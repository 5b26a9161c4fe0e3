"""Write `contracts/events.py` from the contract files beside it: `python -m contracts.generate`.

They are of the records that headrace itself writes; contracts of a project's sources are read when it runs
(`contract_file`). The YAML is what people and other tools read, the Structs are what the processes write and
decode with. A test writes them again and compares, so the two cannot part.
"""

import ast
import math
import subprocess
import sys
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.yaml_file import load

HERE = Path(__file__).parent
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
PREAMBLE = '''"""Records that headrace itself writes, as typed Structs. Generated: `make contracts`.

A field that may be absent is UNSET when it was not written and None when it was written as null.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

'''

Property = dict[str, Any]


def contract_files(folder: Path) -> list[Path]:
    """Return a folder's contract files in the order of their Structs."""
    return sorted(folder.glob("*.yaml"), key=lambda path: path.name, reverse=True)


def source(folder: Path) -> str:
    """Return the text of `events.py`, formatted; needs the formatter, which is no part of an installation.

    Raises:
        ConfigError: E_CONFIG_YAML or E_CONFIG_CONTRACT, with the file and the path in it.
    """
    return _formatted(unformatted(folder))


def is_current(folder: Path) -> bool:
    """Return whether a folder's `events.py` is what its contracts say, whatever its layout.

    Raises:
        ConfigError: as `source`.
    """
    written = ast.parse((folder / "events.py").read_text())
    return ast.dump(written) == ast.dump(ast.parse(unformatted(folder)))


def unformatted(folder: Path) -> str:
    """Return the text of `events.py` before it is formatted.

    Raises:
        ConfigError: as `source`.
    """
    structs: list[str] = []
    for path in contract_files(folder):
        contract = load(path)
        try:
            structs += _structs(path, contract)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, ArithmeticError) as error:
            raise _wrong(str(path), f"a part is missing or of another shape: {error!r:.200}") from error
    return PREAMBLE + "\n\n".join(structs)


def _structs(path: Path, contract: Property) -> Iterator[str]:
    for schema in contract["schema"]:
        yield from _struct(path, schema["name"], schema.get("description", ""), schema["properties"])


def _struct(path: Path, name: str, about: str, properties: list[Property]) -> Iterator[str]:
    """Yield the Structs that a list of properties needs, inner ones first."""
    lines = []
    seen: set[str] = set()
    _identifier(str(path), name)
    for prop in properties:
        where = f"{path}: {name}.{prop.get('name')}"
        if _identifier(where, prop["name"]) in seen:
            raise _wrong(where, "declared twice")
        seen.add(prop["name"])
        yield from _inner(path, prop)
        optional = not prop.get("required", False)
        kind = _type(where, prop) + (" | None | UnsetType" if optional else "")
        lines.append(f"    {prop['name']}: {kind}{' = UNSET' if optional else ''}")
    yield (
        f"class {name}(Struct, frozen=True, kw_only=True, gc=False):\n"
        f'    """{_docstring(about) or "Part of a record."}"""\n\n' + "\n".join(lines) + "\n"
    )


def _identifier(where: str, name: object) -> str:
    """Return a name that is written into Python as it is."""
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
        raise _wrong(where, f"{name!r} cannot be a name: letters, digits and _, first no digit, no keyword")
    return name


def _docstring(about: object) -> str:
    """Return a description that cannot end the docstring that it stands in."""
    if not isinstance(about, str):
        raise TypeError(f"a description is text, not {about!r}")
    text = about.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return text[:-1] + r"\"" if text.endswith('"') else text


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
        return f"dict[str, {inner}{'' if holder.get('required', True) else ' | None'}]"
    return inner


def _scalar(where: str, prop: Property) -> str:
    if "enum" in prop:
        values = [item["value"] for item in prop["enum"]]
        if not all(isinstance(value, str) for value in values):
            raise _wrong(where, "enum values are strings and quoted")
        values = [_custom(prop)["acceptedOnly"]] if "acceptedOnly" in _custom(prop) else values
        return "Literal[" + ", ".join(repr(value) for value in values) + "]"
    if prop["logicalType"] == "object":
        return _identifier(where, prop["businessName"])
    if prop["logicalType"] not in TYPES:
        raise _wrong(where, f"unknown logicalType {prop['logicalType']!r}")
    low, high = _bounds(where, prop)
    names = ("min_length", "max_length") if prop["logicalType"] == "string" else ("ge", "le")
    meta = [f"{name}={value}" for name, value in zip(names, (low, high), strict=True) if value is not None]
    kind = TYPES[prop["logicalType"]]
    return f"Annotated[{kind}, Meta({', '.join(meta)})]" if meta else kind


def _custom(prop: Property) -> Property:
    """Return the custom properties of a field by name."""
    return {item["property"]: item["value"] for item in prop.get("customProperties", [])}


def _bounds(where: str, prop: Property) -> tuple[int | float | None, int | float | None]:
    options = prop.get("logicalTypeOptions", {})
    names = ("minLength", "maxLength") if prop["logicalType"] == "string" else ("minimum", "maximum")
    unknown = set(options) - {*names, "format"}
    if unknown:
        raise _wrong(where, f"options {sorted(unknown)} are not understood")
    low, high = (options.get(name) for name in names)
    for bound in (low, high):
        if bound is not None and not (isinstance(bound, int | float) and math.isfinite(bound)):
            raise _wrong(where, f"{bound!r} is no number")
    if low is not None and high is not None and low > high:
        raise _wrong(where, f"{names[0]} is above {names[1]}")
    if high is None and options.get("format") == "i64":
        high = 2**63 - 1
    if high is None and options.get("format") == "i32":
        high = 2**31 - 1
    if low is None and options.get("format") in ("i64", "i32"):
        low = -(2**63) if options["format"] == "i64" else -(2**31)
    return low, high


def _wrong(where: str, what: str) -> ConfigError:
    return ConfigError("E_CONFIG_CONTRACT", what, where, "correct the contract")


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
