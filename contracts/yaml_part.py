"""Walk through a YAML document and note all that is wrong in it, each with its line."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.problem import Problem, nearest_name
from contracts.yaml_file import Lines, Way, parse_with_lines, read_bounded


class Document:
    """A YAML file, the lines of its values, and the problems found so far.

    Args:
        file: its path, for messages.
        value: the mapping it holds.
        lines: the line of each value, by the way to it.
        part_code: the code of a part that is missing or of another shape.
    """

    def __init__(
        self, file: str, value: dict[str, Any], lines: Lines, part_code: str = "E_ODCS_PART"
    ) -> None:
        self.file = file
        self.part_code = part_code
        self.value = value
        self.problems: list[Problem] = []
        self._lines = lines

    @property
    def top(self) -> "YamlPart":
        """The whole document."""
        return YamlPart(self, (), self.value)

    def line(self, way: Way) -> int:
        """Return the line of a value, or of the nearest one around it that is there."""
        while way not in self._lines:
            way = way[:-1]
        return self._lines[way]


class YamlPart:
    """One value of a document; a getter notes a problem and returns an empty value of its type.

    >>> document = Document("a.yaml", {"name": 5, "tags": ["x"]}, {(): 1, ("name",): 1, ("tags",): 2})
    >>> document.top.text("name")
    ''
    >>> print(document.problems[0])
    a.yaml:1: E_ODCS_PART: name is 5, not text; write text there
    """

    def __init__(self, document: Document, way: Way, value: Any) -> None:
        self.document = document
        self.way = way
        self.value = value

    @property
    def line(self) -> int:
        """The line on which it stands."""
        return self.document.line(self.way)

    @property
    def is_mapping(self) -> bool:
        """Whether it has parts by name."""
        return isinstance(self.value, dict)

    def wrong(self, code: str, what: str, remedy: str, near: tuple[str, Iterable[str]] = ("", ())) -> None:
        """Note a problem here.

        Args:
            near: a wrong name, and the right ones, of which the most like it is named.
        """
        self.document.problems.append(
            Problem(
                file=self.document.file,
                line=self.line,
                code=code,
                what=what,
                remedy=remedy,
                nearest=nearest_name(*near),
            )
        )

    def has(self, name: str) -> bool:
        """Return whether the mapping has an entry that is not null."""
        return self.is_mapping and self.value.get(name) is not None

    def at(self, name: str | int) -> "YamlPart":
        """Return the part of that name or place; its value is None when there is none."""
        value = self.value.get(name) if isinstance(self.value, dict) else self.value[name]
        return YamlPart(self.document, (*self.way, name), value)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there."""
        found: str = self._typed(name, str, "text", "" if default is None else default, default is not None)
        return found

    def word(self, name: str) -> str:
        """Return a text, and nothing where there is none: what is wrong with it is noted elsewhere."""
        value = self.value.get(name) if self.is_mapping else None
        return value if isinstance(value, str) else ""

    def flag(self, name: str, default: bool = False) -> bool:
        """Return true or false."""
        found: bool = self._typed(name, bool, "true or false", default, True)
        return found

    def parts(self, name: str, optional: bool = False) -> Iterator["YamlPart"]:
        """Yield the items of a list, each of which must be a mapping."""
        items: list[Any] = self._typed(name, list, "a list", [], optional)
        for at in range(len(items)):
            item = self.at(name).at(at)
            if item.is_mapping:
                yield item
            else:
                item.wrong(
                    self.document.part_code,
                    f"{self._named(name)} holds {item.value!r:.60}",
                    "write a mapping there",
                )

    def mapping(self, name: str) -> "YamlPart":
        """Return a mapping that may be absent, and is empty then."""
        return YamlPart(self.document, (*self.way, name), self._typed(name, dict, "a mapping", {}, True))

    def _typed(self, name: str, kind: type, word: str, empty: Any, optional: bool) -> Any:
        part = self.at(name)
        if part.value is None:
            if not optional:
                self.wrong(
                    self.document.part_code,
                    f"{self._named(name)} is missing",
                    f"add `{name}:`",
                    (name, self.value),
                )
            return empty
        if not isinstance(part.value, kind):
            part.wrong(
                self.document.part_code,
                f"{self._named(name)} is {part.value!r:.60}, not {word}",
                f"write {word} there",
            )
            return empty
        return part.value

    def _named(self, name: str) -> str:
        of = self.value.get("name") if self.is_mapping and name != "name" else None
        return f"{name} of {of!r}" if isinstance(of, str) else name


def read_document(path: Path, part_code: str = "E_ODCS_PART") -> Document | Problem:
    """Return a file's document, or why it holds none."""
    try:
        value, lines = parse_with_lines(read_bounded(path), path)
    except OSError as error:
        return Problem(
            file=str(path),
            line=1,
            code="E_CONFIG_YAML",
            what=f"cannot be read: {error.strerror or error}",
            remedy="name a readable file",
        )
    except ConfigError as error:
        file, _, line = error.where.rpartition(":")
        return Problem(file=file, line=int(line), code=error.code, what=error.what, remedy=error.next_step)
    return Document(str(path), value, lines, part_code)
