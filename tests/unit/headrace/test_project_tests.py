"""`headrace test`: the examples' own tests hold, and what does not hold is told with its line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contracts.yaml_file import load
from features.project.load import run_file
from features.project.running import project_at
from headrace.__main__ import cli
from headrace.testing import deliver
from runtime.project_folder import INSTALLED
from tests.logins_lake import sent_logins
from tests.project_lake import make_project_lake
from tests.project_maker import write_project

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
LOGINS = EXAMPLES / "logins"
LOGIN = (
    '{login_id: l1, at: "2025-03-01T10:00:00Z", account_id: a1, ip: 203.0.113.7, channel: web, result: ok}'
)


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    folder = shutil.copytree(LOGINS, tmp_path / "logins")
    shutil.rmtree(folder / "tests")
    (folder / "tests").mkdir()
    return folder


def asked(*words: str) -> Result:
    return CliRunner().invoke(cli, ["test", *words])


def said_of(folder: Path, text: str) -> tuple[int, dict[str, Any]]:
    (folder / "tests" / "one.yaml").write_text(text)
    answer = asked("--project", str(folder), "--json")
    return answer.exit_code, json.loads(answer.output)


@pytest.mark.parametrize("folder", [INSTALLED, LOGINS, EXAMPLES / "flights"], ids=lambda folder: folder.name)
def test_a_projects_own_tests_hold(folder: Path) -> None:
    answer = asked("--project", str(folder), "--json")
    found = json.loads(answer.output)
    assert answer.exit_code == 0, answer.output
    assert found["failed"] == 0
    assert found["tests"] >= 4
    assert max(one["seconds"] for one in found["results"]) < 1


def test_what_does_not_hold_is_told_beside_what_was_found(logins: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(logins)
    (logins / "tests" / "one.yaml").write_text(
        f"tests:\n  wrong:\n    records:\n      - logins: {LOGIN}\n        expect:\n"
        "          account_logins_count_1h: 2\n          decision: deny\n          failed_count_10m: 0.5\n"
        "      - resets: '{'\n        expect: {refused: E_CONTRACT_ENUM}\n"
    )
    answer = asked()
    assert answer.exit_code == 1
    assert [line for line in answer.output.splitlines() if line.startswith("      ")] == [
        "      tests/one.yaml:6: record 1, logins l1: account_logins_count_1h",
        "        expected 2", "        found    1",
        "      tests/one.yaml:7: record 1, logins l1: decision",
        "        expected deny", "        found    allow",
        "      tests/one.yaml:8: record 1, logins l1: failed_count_10m",
        "        expected 0.5", "        found    0",
        "      tests/one.yaml:10: record 2, resets: refused",
        "        expected E_CONTRACT_ENUM", "        found    E_DECODE_JSON",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "code", "nearest"),
    [
        (f"logins: {LOGIN}\n        expect: {{acount_logins_count_1h: 1}}", "E_TEST_FEATURE",
         "account_logins_count_1h"),
        ("loginz: {login_id: l1}\n        expect: {refused: true}", "E_TEST_SOURCE", "logins"),
        ("logins: {acount_id: a1}\n        expect: {refused: true}", "E_TEST_FIELD", None),
        (f"logins: {LOGIN}\n        expect: {{rules: [gessing]}}", "E_TEST_FILE", "guessing"),
        (f"logins: {LOGIN}\n        expect: {{decision: dený}}", "E_TEST_FILE", "deny"),
        (f"logins: {LOGIN}\n        expect: {{refused: 5}}", "E_TEST_FILE", None),
        (f"logins: {LOGIN}\n        expect: {{failed_count_10m: {{aprox: 1}}}}", "E_TEST_FILE", None),
        ("resets: {reset_id: r1}\n        score: 0.5", "E_TEST_FILE", None),
        (f"logins: {LOGIN}", "E_TEST_FILE", None),
    ],
)  # fmt: skip
def test_a_name_that_there_is_not_is_refused_with_the_nearest(
    logins: Path, row: str, code: str, nearest: str | None
) -> None:
    status, found = said_of(logins, f"tests:\n  one:\n    records:\n      - {row}\n")
    assert status == 2
    assert found["tests"] == 0
    (problem, *_) = found["problems"]
    assert (problem["code"], problem["nearest"]) == (code, nearest)
    assert problem["file"].endswith("one.yaml")
    assert problem["line"] in (2, 4, 5)


def test_approximate_is_only_what_says_so(logins: Path) -> None:
    rows = "".join(
        f'      - logins: {{login_id: l{n}, at: "2025-03-01T10:00:0{n}Z", account_id: a1, ip: 203.0.113.7,'
        f" channel: web, result: {'failed' if n == 0 else 'ok'}}}\n"
        for n in range(3)
    )
    text = "tests:\n  one:\n    records:\n" + rows + "        expect: {failed_share_24h: %s}\n"
    assert said_of(logins, text % "0.333")[0] == 1
    assert said_of(logins, text % "{approx: 0.333, within: 0.001}")[0] == 0
    assert said_of(logins, text % "{approx: 0.333}")[0] == 1
    assert said_of(logins, text % "0.3333333333333333")[0] == 0


def test_a_test_in_python_that_fails_says_what_it_met(logins: Path) -> None:
    (logins / "tests" / "test_own.py").write_text("def test_it():\n    found = 1\n    assert found == 2\n")
    answer = asked("--project", str(logins), "test_own")
    assert answer.exit_code == 1
    assert "FAIL  test_own/test_it" in answer.output
    assert "test_own.py:3: assert 1 == 2" in answer.output
    assert not list((logins / "tests").rglob("*.pyc"))


def test_a_python_file_that_cannot_run_is_named(logins: Path) -> None:
    (logins / "tests" / "test_own.py").write_text("import nothing_of_this_name\n")
    answer = asked("--project", str(logins))
    assert answer.exit_code == 2
    assert "E_TEST_PYTHON" in answer.output
    assert "nothing_of_this_name" in answer.output


def test_only_the_named_tests_run(logins: Path) -> None:
    text = "tests:\n" + "".join(
        f"  {name}:\n    records:\n      - logins: {LOGIN}\n        expect: {{account_logins_count_1h: 1}}\n"
        for name in ("first", "second")
    )
    (logins / "tests" / "one.yaml").write_text(text)
    assert json.loads(asked("--project", str(logins), "--json", "second").output)["tests"] == 1
    assert json.loads(asked("--project", str(logins), "--json", "one").output)["tests"] == 2
    answer = asked("--project", str(logins), "secnd")
    assert answer.exit_code == 2
    assert "did you mean 'second'?" in answer.output


def test_a_project_without_tests_is_told_how_to_write_one(logins: Path) -> None:
    answer = asked("--project", str(logins))
    assert answer.exit_code == 0
    assert "docs/testing.md" in answer.output


def test_the_helper_gives_what_the_files_give() -> None:
    row = {"account_id": "a1", "ip": "203.0.113.7", "channel": "web", "result": "ok"}
    at = "2025-03-01T10:0{}:00Z"
    first, again, second = deliver(
        ("logins", {"login_id": "l1", "at": at.format(0), **row}),
        ("logins", {"login_id": "l1", "at": at.format(0), **row}),
        ("logins", {"login_id": "l2", "at": at.format(5), **row}),
        project=LOGINS,
    )
    assert (first["account_logins_count_1h"], first["device_logins_count_1h"]) == (1, None)
    assert (first["channel"], first["hour_of_day"], first.decision) == ("web", 10, "allow")
    assert again.repeated
    assert second["account_logins_since_last_ms"] == 300_000


def test_values_are_those_that_the_lake_of_the_same_records_has(tmp_path: Path) -> None:
    """The helper against a lake that gate and stages made of the same records in the same order."""
    project, generator = project_at(str(LOGINS)), run_file(LOGINS / "generate.py")
    lake = make_project_lake(tmp_path, project, sent_logins(8, 4), partitions=1)
    made = generator.generate(generator.Plan(accounts=8, days=4))
    moment = {"logins": "at", "takeovers": "known_at", "resets": "at"}
    rows = [(row[moment[name]], name, row) for name in moment for row in made[name]]
    came = deliver(
        *((name, json.dumps(row)) for _, name, row in sorted(rows, key=lambda one: one[0])), project=LOGINS
    )
    logins = (row["login_id"] for at, name, row in sorted(rows, key=lambda one: one[0]) if name == "logins")
    mine = dict(zip(logins, (one for one in came if one.source == "logins"), strict=True))
    columns = [name for entity in project.entities for name in entity.columns]
    kept = lake.read("features", ["login_id", *columns]).to_pylist()
    assert len(kept) > 50
    for row in kept:
        expected = {name: None if row[name] != row[name] else row[name] for name in columns}
        assert {name: mine[row["login_id"]][name] for name in columns} == expected


@pytest.mark.parametrize("folder", [INSTALLED, LOGINS, EXAMPLES / "flights"], ids=lambda folder: folder.name)
def test_the_schema_takes_the_projects_own_tests_and_refuses_what_there_is_not(folder: Path) -> None:
    schema = json.loads(asked("--project", str(folder), "--schema").output)
    documents = [load(path) for path in sorted((folder / "tests").glob("*.yaml"))]
    assert all(fits(one, schema, schema) for one in documents)
    for document in documents:
        test = next(iter(document["tests"].values()))
        row = next(one for one in test["records"] if "expect" in one)
        row["expect"]["no_such_feature"] = 1
        assert not fits(document, schema, schema)


KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float), "null": type(None)
}  # fmt: skip


def fits(value: Any, schema: Any, top: Any) -> bool:
    """Return whether a value is of a schema, of the words of JSON Schema that ours use."""
    if "$ref" in schema:
        return fits(value, top["$defs"][schema["$ref"].rpartition("/")[2]], top)
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", list(KINDS))
    number = isinstance(value, bool) and "boolean" not in kinds
    if number or not any(isinstance(value, KINDS[kind]) for kind in kinds):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(fits(value, one, top) for one in schema["anyOf"]):
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {}), top) for one in value)
    if not isinstance(value, dict):
        return True
    inside, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
    if any(name not in value for name in schema.get("required", ())):
        return False
    return all(
        fits(one, inside[name], top) if name in inside else rest is not False and fits(one, rest, top)
        for name, one in value.items()
    )


def test_a_project_of_features_alone_is_tested_too(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "bare",
        "from headrace import *\n\n"
        'logins = Source("contracts/logins.yaml")\naccount = Entity("account_id")\n'
        'by_account = view(account, logins, [count("1h"), sum_of("amount", "1h")])\n'
        'project = Project("logins", scored=logins, chain=[account], views=[by_account])\n',
    )
    (folder / "policy.yaml").unlink()
    row = {"account_id": "a1", "result": "ok", "channel": "web", "amount": 12.5, "currency": "EUR"}
    first, second = deliver(
        ("logins", {"login_id": "l1", "at": "2025-03-01T10:00:00Z", **row}),
        ("logins", {"login_id": "l2", "at": "2025-03-01T10:01:00Z", **row, "amount": -0.25}),
        project=folder,
    )
    assert (first["account_logins_amount_sum_1h"], second["account_logins_amount_sum_1h"]) == (12.5, 12.25)
    assert (second.rules, second.decision) == ((), "not_assessed")
