"""The contract files: valid to the standard, and what `contracts/events.py` is made from."""

import ast
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from contracts import generate
from contracts.contract_file import contract_of
from contracts.errors import ConfigError
from contracts.events import Prediction, ReviewVerdict
from contracts.yaml_file import load

SOURCES = generate.contract_files(Path(__file__).resolve().parents[3] / "feature_repo" / "contracts")
FILES = [*generate.contract_files(generate.HERE), *SOURCES]


def test_events_are_what_the_contracts_say() -> None:
    assert (generate.HERE / "events.py").read_text() == generate.source(generate.HERE), "run `make contracts`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_contract_keeps_to_the_open_data_contract_standard(path: Path) -> None:
    """The standard's own model takes it and gives all of it back: nothing is misspelt or misplaced."""
    document = load(path)
    model = OpenDataContractStandard.model_validate(document)
    assert json.loads(model.model_dump_json(by_alias=True, exclude_none=True)) == document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_contract_names_owner_freshness_and_classes(path: Path) -> None:
    document = load(path)
    assert any(member["role"] == "owner" for member in document["team"]["members"])
    assert any(sla["property"] == "freshness" for sla in document["slaProperties"])
    for field in document["schema"][0]["properties"]:
        assert field["classification"] in ("internal", "personal")


def test_personal_fields_are_tagged() -> None:
    tagged = {field.name for path in SOURCES for field in contract_of(path).fields if field.personal}
    assert tagged == {"device_id", "email", "ip"}


def test_structs_hold_ranges_and_enums() -> None:
    good = {
        "verdict_id": "v", "case_id": "c", "event_id": "t", "verdict": "false_positive", "who": "w",
        "why": "y", "decided_at": 1_700_000_000_000,
    }  # fmt: skip
    assert msgspec.convert(good, ReviewVerdict).who == "w"
    for wrong in ({"decided_at": -1}, {"decided_at": 2**50}, {"verdict": "maybe"}, {"why": ""}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(good | wrong, ReviewVerdict)
    assert {"risk_band", "features", "source", "degraded_why"} <= set(Prediction.__struct_fields__)


HEAD = "a: 1\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + "b: 1\na: 2\n", 3),
        (HEAD + "b: !!python/object/apply:os.system ['true']\n", 2),
        (HEAD + "b: no\n", 2),
        (HEAD + "b: 0777\n", 2),
        (HEAD + "b: 1e3\n", 2),
        (HEAD + "b: 12:30:00\n", 2),
        (HEAD + "b: [\n", 3),
        ("x: &x [1]\n" + "".join(f"k{i}: *x\n" for i in range(21)), 22),
        ("- 1\n", 1),
    ],
)
def test_yaml_that_surprises_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert refused.value.code == "E_CONFIG_YAML"
    assert refused.value.where == f"{path}:{line}"


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert refused.value.where == f"{path}:2"


def field(document: dict[str, Any]) -> dict[str, Any]:
    """Return the first field of a contract."""
    found: dict[str, Any] = document["schema"][0]["properties"][0]
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda d: field(d).update(logicalType="vector"),
        lambda d: field(d).update(logicalTypeOptions={"minLength": 9, "maxLength": 1}),
        lambda d: field(d).update(logicalTypeOptions={"pattern": "(a+)+$", "minLength": 1, "maxLength": 9}),
        lambda d: field(d).update(logicalTypeOptions={"format": "uuid", "exclusiveMaximum": 3}),
        lambda d: field(d).update(enum=[{"value": 1}]),
        lambda d: d["schema"][0]["properties"].append(dict(field(d))),
        lambda d: field(d).update(name="class"),
        lambda d: d["schema"][0].update(name="Paid(Struct): import os #"),
        lambda d: field(d).update(logicalTypeOptions={"minLength": "len(dir())"}),
    ],
    ids=[
        "type",
        "bounds",
        "pattern",
        "option",
        "enum",
        "twice",
        "keyword",
        "class name",
        "code as bound",
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(tmp_path: Path, change: Any) -> None:
    document = load(SOURCES[0])
    change(document)
    (tmp_path / "transactions.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError) as refused:
        generate.source(tmp_path)
    assert refused.value.code == "E_CONFIG_CONTRACT"
    assert "transactions.yaml" in refused.value.where


def test_a_description_cannot_leave_its_docstring(tmp_path: Path) -> None:
    document = load(generate.HERE / "verdicts.yaml")
    document["schema"][0]["description"] = 'Ends here\\""" and "goes on"'
    (tmp_path / "verdicts.yaml").write_text(yaml.safe_dump(document))
    [struct] = [node for node in ast.parse(generate.source(tmp_path)).body if isinstance(node, ast.ClassDef)]
    assert ast.get_docstring(struct) == document["schema"][0]["description"]
