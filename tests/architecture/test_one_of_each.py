"""What every process needs is written once, on the ground floor, and used from there."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("runtime", "contracts", "features", "streams", "inference", "headrace", "feature_repo")

Finds = Callable[[ast.AST], bool]


def _name(node: ast.AST) -> str:
    """Return a call's dotted name as written, "" for any other node."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def _moves(node: ast.AST) -> bool:
    """Return whether a call renames a file: `path.replace(to)`, `path.rename(to)`, `os.replace(a, b)`."""
    if not isinstance(node, ast.Call):
        return False
    name = _name(node)
    if name in ("os.replace", "os.rename", "os.renames", "shutil.move"):
        return True
    is_method = name.rpartition(".")[2] in ("replace", "rename")
    return is_method and len(node.args) == 1 and not node.keywords


def _kafka_codes(node: ast.Tuple | ast.Set | ast.List) -> int:
    """Return how many codes of `KafkaError` a written collection holds."""
    return sum(ast.unparse(one).startswith("KafkaError.") for one in node.elts)


RULES: dict[str, tuple[Finds, dict[str, str]]] = {
    "a file is renamed": (
        _moves,
        {
            "runtime/atomic_file.py": "here",
            "headrace/log_files.py": "a log that is put aside may lose lines: its page says so",
            "contracts/crash_points.py": "disarms a test's own switch",
        },
    ),
    "a file is synced": (lambda node: _name(node).endswith("fsync"), {"runtime/atomic_file.py": "here"}),
    "a Kafka client is made": (
        lambda node: _name(node).rpartition(".")[2] in ("Consumer", "Producer", "AdminClient"),
        {"runtime/kafka_clients.py": "here"},
    ),
    "codes of Kafka's errors are listed": (
        lambda node: isinstance(node, ast.Tuple | ast.Set | ast.List) and _kafka_codes(node) > 1,
        {"runtime/kafka_errors.py": "here"},
    ),
    "Redis is connected to": (
        lambda node: (
            _name(node) in ("redis.Redis", "Redis.from_url", "redis.from_url", "socket.create_connection")
        ),
        {
            "runtime/redis_socket.py": "here",
            "headrace/servers/server.py": "looks whether any server listens on a port",
        },
    ),
    "a worker's incarnation begins": (
        lambda node: _name(node).rpartition(".")[2] == "incarnation",
        {"headrace/worker.py": "here"},
    ),
    "a worker's guard begins": (lambda node: _name(node) == "guarding.begin", {"headrace/worker.py": "here"}),
    "a file is locked": (lambda node: "flock" in _name(node), {"runtime/file_lock.py": "here"}),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module of the product by its path in the checkout."""
    for room in ROOMS:
        for path in sorted((CHECKOUT / room).rglob("*.py")):
            yield path.relative_to(CHECKOUT).as_posix(), ast.parse(path.read_text())


@pytest.mark.parametrize("rule", RULES)
def test_it_is_done_in_one_place(rule: str) -> None:
    finds, places = RULES[rule]
    found = {
        file: node.lineno  # type: ignore[attr-defined]  # a call has one
        for file, module in modules()
        for node in ast.walk(module)
        if finds(node)
    }
    elsewhere = {f"{file}:{line}" for file, line in found.items() if file not in places}
    assert elsewhere == set(), f"{rule} here; use what stands in {next(iter(places))}"
    assert places.keys() <= found.keys(), "a place of the table that does it no longer"
