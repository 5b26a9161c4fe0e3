"""The shape tool counts what it says, in small checkouts whose counts are known."""

import json
import subprocess
from pathlib import Path

import pytest

from tools.shape import __main__ as command
from tools.shape.measure import commit, findings
from tools.shape.processes import process_modules
from tools.shape.record import one_record
from tools.shape.rooms import Source, rooms, sources
from tools.shape.text import hidden_imports, lines, naming_files, repeated_classes, skips

CHECKOUT = Path(__file__).resolve().parents[3]


def checkout(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_rooms_are_the_folders_of_the_product_and_load(tmp_path: Path) -> None:
    names = ["streams/a.py", "store/b.py", "load/c.py", "tests/d.py", "tools/e.py", "docs/f.md", ".x/g.py"]
    root = checkout(tmp_path, dict.fromkeys(names, "x = 1\n"))
    assert rooms(root) == ["load", "store", "streams"]
    assert lines(sources(root, rooms(root))) == {"load": 1, "store": 1, "streams": 1}


def test_imports_of_our_own_inside_functions_are_found_wherever_they_stand() -> None:
    text = (
        "import a.top\n"
        "if True:\n    import a.conditional\n"
        "def f():\n    import a.one\n    def g():\n        from a.two import x\n"
        "class C:\n    def h(self):\n        import json, a.three\n"
        "async def k():\n    from a import four\n"
    )
    found = hidden_imports([Source("a/m.py", text)], ["a"])
    assert sorted(found) == ["a/m.py: a", "a/m.py: a.one", "a/m.py: a.three", "a/m.py: a.two"]
    assert hidden_imports([Source("headrace/commands/m.py", text)], ["a"]) == []


def test_a_class_name_found_three_times_counts_twice(tmp_path: Path) -> None:
    text = "class A: ...\nclass _B: ...\nclass C:\n    class A: ...\n"
    root = checkout(tmp_path, {"streams/a.py": text, "streams/b.py": text, "load/c.py": "class A: ..."})
    assert repeated_classes(sources(root, rooms(root))) == {"A": 3, "C": 2}
    assert findings(root).limits()["repeated_classes"] == 3


@pytest.mark.parametrize(
    ("text", "in_code", "in_prose"),
    [
        ("customer_id = 1\n", True, False),
        ("class CardRows: ...\n", True, False),
        ("x = 'of a Terminal'\n", True, False),
        ("x = f'{y} payments'\n", True, False),
        ("FRAUDULENT = 1\n", True, False),
        ("# a fraud\nx = 1\n", False, True),
        ('"""Of payments."""\nx = 1\n', False, True),
        ('def f():\n    """Of payments."""\n', False, True),
        ("discard = wildcard = cardinality = 1\n", False, False),
    ],
)
def test_a_file_names_the_use_case_in_code_or_in_prose(text: str, in_code: bool, in_prose: bool) -> None:
    named = naming_files([Source("streams/a.py", text)])
    assert (bool(named.code), bool(named.prose)) == (in_code, in_prose)


def test_projects_and_templates_may_name_their_use_case(tmp_path: Path) -> None:
    text = {"feature_repo/a.py": "payment = 1", "headrace/templates/logins/b.py": "payment = 1"}
    data = {
        "streams/c.sql": "select customer_id",
        "streams/d.yaml": "a: wildcard",
        "feature_repo/e.yaml": "card",
    }
    root = checkout(tmp_path, text | data | {"streams/f.py": "", "headrace/g.py": ""})
    found = findings(root)
    assert (found.naming_files, found.naming_data) == ([], ["streams/c.sql"])


def test_formatter_exceptions_are_counted() -> None:
    assert skips([Source("a/b.py", "x = [\n]  # fmt: " + "skip\n"), Source("a/c.py", "y = 1\n")]) == 1


def test_each_process_has_the_modules_that_its_command_imports() -> None:
    found = process_modules(CHECKOUT, rooms(CHECKOUT))
    assert set(found) == {"gate", "stage", "scorer", "api", "archive", "learner"}
    for name, modules in found.items():
        assert modules == sorted(set(modules)), name
        assert len(modules) > 10, name
    assert "headrace.commands.gate" in found["gate"]
    assert not any(module.startswith("inference.scorer") for module in found["gate"])


def test_a_payment_is_followed_from_the_gate_to_its_prediction() -> None:
    passed = one_record(CHECKOUT, rooms(CHECKOUT))
    assert len(passed.functions) > len(passed.modules) > 10
    assert {name.partition(".")[0] for name in passed.modules} <= set(rooms(CHECKOUT))
    kinds = [name for name in passed.carriers if name.startswith("bytes of JSON")]
    assert len(kinds) >= 2, "the raw record and its prediction"


def test_a_checkout_that_the_walk_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"walk.py does not fit the checkout"):
        one_record(checkout(tmp_path, {"streams/a.py": ""}), ["streams"])


def test_rows_are_kept_with_their_commit_and_shown_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, file = tmp_path / "shape.jsonl", tmp_path / "out.json"
    rows = iter([{"commit": "a1", "lines": {"x": 5}}, {"commit": "b2", "lines": {"x": 4}, "fmt_skip": 7}])
    monkeypatch.setattr(command, "measure", lambda root: next(rows))
    assert command.main(["--kept", str(kept), "--store"]) == 0
    assert command.main(["--kept", str(kept), "--store", "--json", str(file)]) == 0
    assert [row["commit"] for row in command.stored(kept)] == ["a1", "b2"]
    assert json.loads(file.read_text())["commit"] == "b2"
    shown = capsys.readouterr().out
    assert "| commit | a1 | b2 |" in shown
    assert "| lines.x | 5 | 4 |\n| fmt_skip |  | 7 |" in shown


def test_a_changed_checkout_is_marked(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init", "-q")
    checkout(tmp_path, {"a.py": "x = 1\n"})
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    assert not commit(tmp_path).endswith("+")
    checkout(tmp_path, {"a.py": "x = 2\n"})
    assert commit(tmp_path).endswith("+")
