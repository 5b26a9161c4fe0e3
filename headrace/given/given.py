"""A given file as a project's records: converted, in order of time, and what its labels are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from contracts.contract_version import TimeFormat, to_ms
from contracts.document import Refused
from contracts.written_values import time_of
from headrace.given.convert import converter
from headrace.given.rows import Row, read_rows
from headrace.given.shape import FileKind, Shape

Label = tuple[
    Any, Any, int | None
]  # the id of its record, what it says, and since when that is known, epoch ms


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """A file of records, and how they become those of a contract.

    Args:
        file: its path.
        kind, separator, encoding: how it is written.
        joined: fields that the file has in several columns: their texts, a space between.
        numbered: a field that is the row's number, where the file has no id; empty for none.
        convert: fields that the contract has in another way, by words of `headrace.given.convert`; each is
            named by its place in the JSON, as the contract does (`client.ip`, `/a.b` where a name has a dot).
        time: the place of the time by which records are put in order.
        time_format, zone: how it is written, after conversion, as the contract says it.
    """

    file: str
    kind: FileKind
    separator: str = ""
    encoding: str = "utf-8"
    joined: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numbered: str = ""
    convert: Mapping[str, str] = field(default_factory=dict)
    time: str
    time_format: TimeFormat = "iso8601"
    zone: str = ""

    def rows(self) -> list[Row]:
        """Return all rows in order of time; those whose time cannot be read come first.

        Raises:
            ConfigError: as `read_rows`.
        """
        rows = read_rows(Path(self.file), Shape(self.kind, self.separator, self.encoding)).rows
        converted = converted_rows(rows, joined=self.joined, numbered=self.numbered, convert=self.convert)
        return sorted(converted, key=self.moment_of)

    def moment_of(self, row: Row) -> int:
        """Return the time of a converted row, epoch ms; 0 where it says none."""
        return moment(value_at(row, place_of(self.time)), self.time_format, self.zone)


def converted_rows(
    rows: Iterable[Row], *, joined: Mapping[str, Sequence[str]], numbered: str, convert: Mapping[str, str]
) -> list[Row]:
    """Return rows as their contract has them; a value that cannot be converted stays."""
    steps = [(place_of(name), converter(words)) for name, words in convert.items()]
    found = []
    for number, row in enumerate(rows, 1):
        for name, parts in joined.items():
            texts = [str(row[part]) for part in parts if row.get(part) is not None]
            row[name] = " ".join(texts) if len(texts) == len(parts) else None
        if numbered:
            row[numbered] = f"row-{number}"
        for place, step in steps:
            _convert_at(row, place, step)
        found.append(row)
    return found


def _convert_at(row: Row, place: tuple[str, ...], step: Callable[[Any], Any]) -> None:
    holder = value_at(row, place[:-1])
    if isinstance(holder, dict) and place[-1] in holder:
        try:
            holder[place[-1]] = step(holder[place[-1]])
        except (ValueError, ArithmeticError):
            return


def place_of(name: str) -> tuple[str, ...]:
    """Return the keys that lead to a field, as `physicalName` of a contract says them.

    >>> place_of("client.ip"), place_of("/a.b/c")
    (('client', 'ip'), ('a.b', 'c'))
    """
    if name.startswith("/"):
        return tuple(key.replace("~1", "/").replace("~0", "~") for key in name[1:].split("/"))
    return tuple(name.split("."))


def name_of(place: Sequence[str]) -> str:
    """Return how `physicalName` of a contract says a place.

    >>> name_of(("client", "ip")), name_of(("a.b",))
    ('client.ip', '/a.b')
    """
    if any("." in key or key.startswith("/") or not key for key in place):
        return "/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in place)
    return ".".join(place)


def value_at(row: Any, place: Sequence[str]) -> Any:
    """Return what a document holds at a place; None for nothing."""
    for key in place:
        row = row.get(key) if isinstance(row, dict) else None
    return row


def moment(value: Any, time_format: TimeFormat, zone: str) -> int:
    """Return a time in epoch ms, 0 for what is none.

    >>> moment("1970-01-01 00:00:01", "iso8601", "+00:00"), moment(5, "epoch_s", "")
    (1000, 5000)
    """
    if time_format == "iso8601":
        try:
            return time_of(value, zone) if isinstance(value, str) else 0
        except Refused:
            return 0
    return to_ms(value, time_format) if isinstance(value, int) and not isinstance(value, bool) else 0


def labels_in(
    given: GivenFile, rows: list[Row], *, column: str, id: str, name: str, known_after_s: int
) -> tuple[list[Row], list[Row]]:
    """Take the labels out of rows that have them: return the rows without, and the labels, each a record.

    Args:
        column: the place of the label; no row keeps it, for nobody has it when its record comes.
        id: the place of the record's id; in the label it is called `name`.
        known_after_s: how long after its record a label became known, which the file does not say.
    """
    place, labels = place_of(column), []
    for row in rows:
        holder = value_at(row, place[:-1])
        value = holder.pop(place[-1], None) if isinstance(holder, dict) else None
        known_at = given.moment_of(row) + known_after_s * 1000
        labels.append((value_at(row, place_of(id)), value, known_at))
    return rows, label_records(labels, name)


def labels_of(
    labels: GivenFile, rows: list[Row], *, given: GivenFile, column: str, id: str, id_of_rows: str, name: str,
    known_after_s: int = 0,
) -> list[Row]:  # fmt: skip
    """Return the labels of a file of their own, each a record; of rows that are not given there is none.

    Args:
        column: the place of the label; empty where a row's being there says it.
        id: the place of the id of the record that a label is of; in the rows it is `id_of_rows`.
        known_after_s: of a file that does not say when a label became known: so long after its record.
    """
    moments = {value_at(row, place_of(id_of_rows)): given.moment_of(row) for row in rows}
    found: list[Label] = []
    for row in labels.rows():
        of = value_at(row, place_of(id))
        if of in moments:
            known_at = moments[of] + known_after_s * 1000 if known_after_s else labels.moment_of(row)
            found.append((of, value_at(row, place_of(column)) if column else "positive", known_at))
    return label_records(found, name)


def label_records(labels: Iterable[Label], name: str) -> list[Row]:
    """Return labels as records, in the order in which they became known; an id and a value each."""
    made = [
        {name: of, "label": converter("text")(said), "known_at": known_at}
        for of, said, known_at in labels
        if of is not None and said is not None and known_at
    ]
    return sorted(made, key=lambda label: int(label["known_at"]))


def write_lines(folder: Path, records: Mapping[str, Iterable[Row]]) -> list[Path]:
    """Write each source's records as NDJSON, for `headrace produce`; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for source, rows in records.items():
        path = folder / f"{source}.ndjson"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        paths.append(path)
    return paths
