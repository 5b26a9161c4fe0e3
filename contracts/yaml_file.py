"""Read a YAML file of people's making without its surprises: no objects, no repeated keys, no alias bombs.

Scalars have the types of YAML 1.2's core schema: text, integers (10, 0o12, 0xa), floats, true, false, null.
What YAML 1.1 takes for something else (`no`, `0777`, `1_000`, `1:30`, `<<`), and an id that looks like a
number (`12e5`), is refused until it is quoted or written another way. Whatever bytes the file holds, the
answer is a mapping or an error with a code.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from contracts.errors import ConfigError

ALIASES_MAX = 20
BYTES_MAX = 1 << 20
DEPTH_MAX = 32
NODES_MAX = 100_000  # with every alias written out
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
_TAG = "tag:yaml.org,2002:"
Way = tuple[str | int, ...]  # keys and places in lists, from the top
Lines = dict[Way, int]
_SURPRISE = re.compile(
    r"(?:y|n|yes|no|on|off|<<|[+-]?0[0-9_]+|[+-]?0b[01_]+|[+-]?[0-9]+e[0-9]+|[+-]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?"
    r"|[+-]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?)",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTE = "quote it if it is text; write true or false, or a plain decimal number, if it is none"


class _RefusedError(yaml.MarkedYAMLError):
    """What we refuse that YAML allows; `advice` is what to do about it."""

    def __init__(self, what: str, node_or_event: Any, advice: str = "correct the file") -> None:
        super().__init__(problem=what, problem_mark=node_or_event.start_mark)
        self.advice = advice


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with 1.2's scalars, bounds, and no tags, repeated keys or ambiguous scalars."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = self._depth = self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > ALIASES_MAX:
                raise _RefusedError(f"more than {ALIASES_MAX} aliases", event, "write the values out")
        elif event.tag is not None:
            raise _RefusedError(f"a tag, {event.tag!r:.40}", event, "leave the tag out, quote what is text")
        self._depth += 1
        self._nodes += 1
        if self._depth > DEPTH_MAX:
            raise _RefusedError(f"nested more than {DEPTH_MAX} deep", event)
        if self._nodes > NODES_MAX:
            raise _RefusedError(f"more than {NODES_MAX} values", event, "write fewer values")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, ScalarNode):
            _check_scalar(node)
        elif isinstance(node, MappingNode):
            _check_keys(node)
        return node


def _check_scalar(node: ScalarNode) -> None:
    if node.style is None and _SURPRISE.fullmatch(node.value):
        raise _RefusedError(f"{node.value!r:.40} is not what it looks like", node, _QUOTE)
    if _SURROGATE.search(node.value):
        raise _RefusedError("half of a surrogate pair", node, "write the character itself")


def _check_keys(node: MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            raise _RefusedError(
                "a key that is no text: is this a template that nobody filled in?", key,
                "fill the template in, or quote text that begins with { or [",
            )  # fmt: skip
        if key.tag != f"{_TAG}str":
            raise _RefusedError(f"the key {key.value!r:.40} is no text", key, "quote it")
        if key.value in seen:
            raise _RefusedError(f"key {key.value!r:.40} twice", key, "leave one of them out")
        seen.add(key.value)


def _check_size(node: Node, sizes: dict[int, int | None]) -> int:
    """Return how many nodes there are with every alias written out; a node within itself is refused."""
    if id(node) in sizes:
        known = sizes[id(node)]
        if known is None:
            raise _RefusedError("an alias of what it stands in", node, "write the values out")
        return known
    sizes[id(node)] = None
    size = 1
    if isinstance(node, MappingNode):
        size += sum(_check_size(key, sizes) + _check_size(value, sizes) for key, value in node.value)
    elif isinstance(node, SequenceNode):
        size += sum(_check_size(item, sizes) for item in node.value)
    if size > NODES_MAX:
        raise _RefusedError(f"more than {NODES_MAX} values", node, "write fewer values")
    sizes[id(node)] = size
    return size


def _integer(_loader: yaml.SafeLoader, node: ScalarNode) -> int:
    text = node.value.lower()
    base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
    number = int(text, base) if len(text) <= 24 else INTEGER_MAX + 1  # 0o and 22 digits are 64 bits
    if not INTEGER_MIN <= number <= INTEGER_MAX:
        raise _RefusedError("an integer of more than 64 bits", node, "quote it if it is text")
    return number


def _float(_loader: yaml.SafeLoader, node: ScalarNode) -> float:
    text = node.value.lower()
    number = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    if number in (float("inf"), float("-inf")) and "inf" not in text:
        raise _RefusedError("a number beyond a double's range", node, "quote it if it is text")
    return number


_Loader.yaml_implicit_resolvers = {}  # without 1.1's; the core schema's follow
_Loader.add_constructor(f"{_TAG}int", _integer)
_Loader.add_constructor(f"{_TAG}float", _float)
for _kind, _form, _first in (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^{_form}\Z"), _first)


def load(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds.

    Raises:
        ConfigError: E_CONFIG_YAML with file and line, also where the file is none that can be read.
    """
    try:
        raw = read_bounded(path)
    except OSError as error:
        raise _refused(
            path, 1, f"cannot be read: {error.strerror or error}", "name a readable file"
        ) from error
    return parse(raw, path)


def read_bounded(path: Path) -> bytes:
    """Return a plain file's bytes, but no more than one beyond what is parsed; a pipe is never waited for.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a plain file", str(path))
        return source.read(BYTES_MAX + 1)


def parse(raw: bytes, path: Path) -> dict[str, Any]:
    """Return the mapping that a file's bytes hold; `path` is for messages.

    Raises:
        ConfigError: E_CONFIG_YAML with file and line.

    >>> parse(b"share: 1e-3\\nsince: 2023-02-30", Path("policy.yaml"))
    {'share': 0.001, 'since': '2023-02-30'}
    """
    return parse_with_lines(raw, path)[0]


def parse_with_lines(raw: bytes, path: Path) -> tuple[dict[str, Any], Lines]:
    """Return the same mapping, and the line on which each value of it stands, by the way to it.

    Raises:
        ConfigError: E_CONFIG_YAML with file and line.

    >>> found, lines = parse_with_lines(b"a:\\n  - b: 1\\n", Path("contract.yaml"))
    >>> found["a"][0]["b"], lines["a", 0, "b"]
    (1, 2)
    """
    if len(raw) > BYTES_MAX:
        raise _refused(path, 1, f"larger than {BYTES_MAX} bytes", "write a smaller file")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _refused(path, line, "not UTF-8", "save the file as UTF-8") from error
    try:
        document, node = _document(text)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise _refused(path, line, f"the character U+{int(error.character):04X}", "take it out") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        advice = error.advice if isinstance(error, _RefusedError) else "correct the file"
        raise _refused(path, line, str(error.problem), advice) from error
    if not isinstance(document, dict):
        raise _refused(path, 1, "the document is not a mapping", "correct the file")
    lines: Lines = {}
    _note_lines(node, (), lines)
    return document, lines


def _note_lines(node: Node, way: Way, lines: Lines) -> None:
    """Note the line of each value; that of a mapping's entry is its key's."""
    lines.setdefault(way, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        for key, value in node.value:
            lines[(*way, key.value)] = key.start_mark.line + 1
            _note_lines(value, (*way, key.value), lines)
    elif isinstance(node, SequenceNode):
        for at, item in enumerate(node.value):
            _note_lines(item, (*way, at), lines)


def _document(text: str) -> tuple[Any, Any]:
    """Return what a text holds, and the nodes that it was made of."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except (ValueError, OverflowError) as error:  # the scanner does not check an escape's number
        mark = loader.get_mark()
        raise yaml.MarkedYAMLError(problem="an escape of no character", problem_mark=mark) from error
    if node is None:
        return None, None
    _check_size(node, {})
    return loader.construct_document(node), node


def _refused(path: Path, line: int, what: str, advice: str) -> ConfigError:
    return ConfigError("E_CONFIG_YAML", what, f"{path}:{line}", advice)
