"""Finds the seams of the product's rooms: each registration of a callback, thread, task, future or handler.

A seam is named `file: where: what`, as `streams/a.py: Worker._gather: call_soon(self._gathered)`; line
numbers are left out, so that a name outlives an edit elsewhere in its file.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("runtime", "contracts", "features", "streams", "inference", "headrace")
CALLS = {
    "Thread", "Timer", "create_task", "ensure_future", "call_soon", "call_soon_threadsafe", "call_later",
    "call_at", "run_in_executor", "to_thread", "submit", "add_done_callback", "add_signal_handler",
    "run_coroutine_threadsafe", "TaskGroup", "start_http_server", "WSGIServer", "ThreadingHTTPServer",
    "add_get", "add_post", "add_put", "add_delete", "add_head", "add_route", "add_routes", "finalize",
    "set_exception_handler", "run_app", "AppRunner", "serve_forever", "add_middleware",
}  # fmt: skip
MODULE_CALLS = {"signal.signal", "atexit.register", "weakref.finalize", "faulthandler.register"}
KEYWORDS = {
    "on_delivery", "on_commit", "on_assign", "on_revoke", "on_lost", "error_cb", "stats_cb", "throttle_cb",
    "oauth_cb", "middlewares", "on_startup", "on_shutdown", "on_cleanup", "on_error",
}  # fmt: skip
DECORATORS = {"task", "agent", "connect", "timer", "crontab", "middleware", "get", "post", "route"}
FOREIGN_BASES = {  # classes whose methods a library calls
    "faust.Worker", "faust.App", "logging.Handler", "threading.Thread", "Thread", "Collector",
    "asyncio.Protocol", "BaseHTTPRequestHandler", "WSGIRequestHandler", "ThreadingMixIn",
    "ThreadingHTTPServer", "HTTPServer", "ThreadingWSGIServer", "WSGIServer",
}  # fmt: skip


def seams(rooms: tuple[str, ...] = ROOMS, root: Path = CHECKOUT) -> set[str]:
    """Return the name of every seam."""
    return {
        f"{path.relative_to(root).as_posix()}: {seam}"
        for room in rooms
        for path in sorted((root / room).rglob("*.py"))
        for seam in seams_of(path.read_text())
    }


def seams_of(source: str) -> list[str]:
    """Return the seams of one file.

    >>> seams_of("def start(loop):\\n    loop.call_soon(look)")
    ['start: call_soon(look)']
    """
    return list(_found(ast.parse(source), ""))


def _found(node: ast.AST, where: str) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield from (f"{where or 'module'}: @{name} {node.name}" for name in _decorators(node))
        where = f"{where}.{node.name}" if where else node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{where}: class of {base}" for base in _foreign_bases(node))
    elif isinstance(node, ast.Call):
        yield from (f"{where or 'module'}: {what}" for what in _registrations(node))
    elif isinstance(node, ast.Dict):
        yield from (f"{where or 'module'}: {what}" for what in _options(node))
    for child in ast.iter_child_nodes(node):
        yield from _found(child, where)


def _registrations(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    if last in CALLS or name in MODULE_CALLS:
        yield f"{last}({_target(call)})"
    for keyword in call.keywords:
        if keyword.arg in KEYWORDS:
            yield f"{keyword.arg}={_short(keyword.value)}"


def _target(call: ast.Call) -> str:
    """Return what is to be called: the keyword `target`, else the argument that is a callable."""
    named = [keyword.value for keyword in call.keywords if keyword.arg in ("target", "function")]
    if named:
        return _short(named[0])
    skipped = {"run_in_executor", "call_later", "call_at", "Timer", "add_signal_handler", "signal", "add_get",
               "add_post", "add_put", "add_delete", "add_route"}  # fmt: skip
    last = ast.unparse(call.func).rpartition(".")[2]
    at = 1 if last in skipped and len(call.args) > 1 else 0
    return _short(call.args[at]) if call.args else ""


def _options(options: ast.Dict) -> Iterator[str]:
    for key, value in zip(options.keys, options.values, strict=True):
        if isinstance(key, ast.Constant) and key.value in KEYWORDS:
            yield f"{key.value}={_short(value)}"


def _decorators(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and called.attr in DECORATORS:
            yield ast.unparse(called)


def _foreign_bases(node: ast.ClassDef) -> Iterator[str]:
    return (base for base in map(ast.unparse, node.bases) if base in FOREIGN_BASES)


def _short(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())
