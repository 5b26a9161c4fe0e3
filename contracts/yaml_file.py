"""Read a YAML file of people's making without its surprises: no objects, no repeated keys, no alias bombs.

Scalars keep YAML 1.1's types, but a plain `no`, `1e3` or `0777` is refused where it would silently become
something else than it reads: such text must be quoted.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from contracts.errors import ConfigError

ALIASES_MAX = 20
BYTES_MAX = 1 << 20
_SURPRISE = re.compile(
    r"(?:y|n|yes|no|on|off|[+-]?0[0-7]+|[+-]?0[xob][0-9a-f_]+|[+-]?[0-9.]+e[0-9]+|[0-9]+(?::[0-9]+)+)",
    re.IGNORECASE,
)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that counts aliases and refuses repeated keys and ambiguous plain scalars."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.aliases = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > ALIASES_MAX:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it out
                raise yaml.MarkedYAMLError(problem=f"more than {ALIASES_MAX} aliases", problem_mark=mark)
        node = super().compose_node(parent, index)
        if isinstance(node, ScalarNode) and node.style is None and _SURPRISE.fullmatch(node.value):
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r} is not what it looks like, quote it",
                problem_mark=node.start_mark,
            )
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds.

    Raises:
        ConfigError: E_CONFIG_YAML with file and line.
    """
    return parse(path.read_bytes(), path)


def parse(raw: bytes, path: Path) -> dict[str, Any]:
    """Return the mapping that a file's bytes hold; `path` is for messages.

    Raises:
        ConfigError: E_CONFIG_YAML with file and line.
    """
    if len(raw) > BYTES_MAX:
        raise _refused(path, 1, f"larger than {BYTES_MAX} bytes")
    try:
        loader = _Loader(raw.decode("utf-8"))
        document = loader.get_single_data()
    except UnicodeDecodeError as error:
        raise _refused(path, raw[: error.start].count(b"\n") + 1, "not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _refused(path, line, str(error.problem)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _refused(path, 1, type(error).__name__) from error
    if not isinstance(document, dict):
        raise _refused(path, 1, "the document is not a mapping")
    return document


def _refused(path: Path, line: int, what: str) -> ConfigError:
    return ConfigError("E_CONFIG_YAML", what, f"{path}:{line}", "mend the file")
