"""Every seam is known, and something shows that an exception there ends the process."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from contracts.crash_points import POINTS, SEAM_POINTS
from tests.seams.find import CHECKOUT, seams, seams_of

COVERED = ("runtime", "contracts", "features", "streams", "inference", "headrace")
TABLES = sorted((CHECKOUT / "tests" / "seams").glob("*.toml"))


def table() -> dict[str, list[str]]:
    """Return what covers each seam, of all tables."""
    return {
        f"{file}: {seam}": covered
        for path in TABLES
        for file, section in tomllib.loads(path.read_text()).items()
        for seam, covered in section.items()
    }


def reached_points() -> set[str]:
    """Return the points that the product's code passes."""
    rooms = ("runtime", "streams", "inference", "headrace")
    code = [path.read_text() for room in rooms for path in (CHECKOUT / room).rglob("*.py")]
    return {point for text in code for point in re.findall(r'\breach\("([^"]+)"\)', text)}


def is_a_test(name: str) -> bool:
    """Return whether `file::function` is there."""
    file, _, function = name.partition("::")
    path = CHECKOUT / file
    if not path.is_file():
        return False
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in nodes)


def test_the_tables_name_the_seams_that_the_code_has() -> None:
    known, there = set(table()), seams(COVERED)
    assert sorted(there - known) == [], "seams that no table in tests/seams names: say what covers them"
    gone = {seam for seam in known - there if seam.partition("/")[0] in COVERED}
    assert sorted(gone) == [], "seams of the tables that the code no longer has"


@pytest.mark.parametrize("seam", sorted(table()))
def test_what_a_seam_names_is_there(seam: str) -> None:
    points, reached = {*POINTS, *SEAM_POINTS}, reached_points()
    covered = table()[seam]
    assert covered, "nothing covers it"
    for entry in covered:
        kind, _, name = entry.partition(" ")
        match kind:
            case "point":
                assert name in points & reached, entry
            case "test":
                assert is_a_test(name), entry
            case _:
                assert entry.startswith("no worker: "), entry
                assert len(entry) > 25, "no reason"


def test_every_point_for_exceptions_is_passed() -> None:
    assert set(SEAM_POINTS) <= reached_points()


SAMPLES = {
    "threading.Thread(target=look, daemon=True)": "Thread(look)",
    "threading.Timer(5.0, give_up)": "Timer(give_up)",
    "loop.create_task(work())": "create_task(work())",
    "asyncio.ensure_future(work())": "ensure_future(work())",
    "loop.call_soon(look)": "call_soon(look)",
    "loop.call_later(0.1, look)": "call_later(look)",
    "loop.call_soon_threadsafe(look)": "call_soon_threadsafe(look)",
    "loop.run_in_executor(pool, look, 1)": "run_in_executor(look)",
    "pool.submit(look, 1)": "submit(look)",
    "task.add_done_callback(look)": "add_done_callback(look)",
    "loop.add_signal_handler(15, look)": "add_signal_handler(look)",
    "signal.signal(15, look)": "signal(look)",
    "producer.produce('t', on_delivery=look)": "on_delivery=look",
    "consumer.subscribe(['t'], on_assign=look)": "on_assign=look",
    "Consumer({'on_commit': look})": "on_commit=look",
    "Consumer({'error_cb': look})": "error_cb=look",
    "router.add_post('/score', look)": "add_post(look)",
    "web.Application(middlewares=[look])": "middlewares=[look]",
}


@pytest.mark.parametrize("code", SAMPLES)
def test_each_way_of_registering_is_found(code: str) -> None:
    assert seams_of(code) == [f"module: {SAMPLES[code]}"]


def test_decorators_and_a_librarys_classes_are_found() -> None:
    assert seams_of("@app.task\nasync def timer(): ...") == ["module: @app.task timer"]
    assert seams_of("class Mine(faust.Worker): ...") == ["Mine: class of faust.Worker"]


def test_a_new_thread_is_missed_in_the_tables(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "fresh.py").write_text("import threading\nthreading.Thread(target=print)\n")
    assert seams(("streams",), tmp_path) - set(table()) == {"streams/fresh.py: module: Thread(print)"}
