"""How a file of records is written: told by its first bytes, not by its name."""

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from contracts.errors import ConfigError

FileKind = Literal["parquet", "csv", "ndjson", "json"]
SEPARATORS = (",", ";", "\t", "|")
BLANKS = " "  # any number of them: a table in columns
HEAD_LINES = 200
CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1a\x1b")


class Shape(NamedTuple):
    """What a reader needs to know of a file."""

    kind: FileKind
    separator: str = ""
    encoding: str = "utf-8"


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, unpacked where it is gzip.

    Raises:
        ConfigError: E_INPUT_FILE, there is none; E_INPUT_DAMAGED, it cannot be read; E_INIT_EMPTY.
    """
    if not path.is_file():
        raise ConfigError("E_INPUT_FILE", "no such file", str(path), "name a Parquet, CSV or NDJSON file")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as error:
        raise ConfigError(
            "E_INPUT_DAMAGED", f"it cannot be read: {error}", str(path), "write the file again"
        ) from error
    if not data.strip():
        raise ConfigError("E_INIT_EMPTY", "the file is empty", str(path), "give a file with records")
    return data


def shape_of(path: Path, data: bytes) -> Shape:
    """Return how a file is written.

    Raises:
        ConfigError: E_INIT_BINARY, it is neither Parquet nor text.

    >>> shape_of(Path("a.txt"), "Zeit;Käufer\\n1;a\\n".encode("cp1252"))
    Shape(kind='csv', separator=';', encoding='cp1252')
    """
    if data[:4] == b"PAR1":
        return Shape("parquet")
    encoding = _encoding(path, data)
    text = data.decode(encoding)
    first = text.lstrip("\ufeff \t\r\n")[:1]
    if first == "[":
        return Shape("json", encoding=encoding)
    if first == "{":
        line = text.lstrip("\ufeff \t\r\n").split("\n", 1)[0].rstrip()
        return Shape("ndjson" if line.endswith("}") else "json", encoding=encoding)
    return Shape("csv", _separator(text), encoding)


def _encoding(path: Path, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if CONTROL & set(data[:65_536]):
        raise ConfigError(
            "E_INIT_BINARY", "it is neither Parquet nor text", str(path),
            "give a Parquet, CSV or NDJSON file; export a spreadsheet as CSV",
        )  # fmt: skip
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        try:
            data.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1"
        return "cp1252"
    return "utf-8-sig" if data[:3] == b"\xef\xbb\xbf" else "utf-8"


def _separator(text: str) -> str:
    """Return the separator by which most lines have the same number of cells, the more the better.

    >>> _separator("at  driver\\n2025-01-01   d1\\n")
    ' '
    """
    lines = [line for line in text.split("\n")[: HEAD_LINES + 1] if line.strip()][:HEAD_LINES]

    def even(separator: str) -> tuple[float, int]:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
        width, count = widths.most_common(1)[0]
        return (0.0 if width == 1 else count / widths.total(), width)

    best = max(SEPARATORS, key=even)
    in_columns = {len(line.split()) for line in lines}
    return BLANKS if even(best)[1] == 1 and len(in_columns) == 1 and in_columns != {1} else best
