"""JSON Schema of a project's test files, with its own sources, fields, features, rules and decisions.

An editor that is given it completes feature names and marks what there is not.
"""

from typing import Any

from contracts.contract_version import ContractField
from features.project.running import RunningProject
from headrace.testing.delivery import values_of_source
from headrace.traffic.form import Form, forms_of
from inference.policy.decision import DECIDED_BY
from inference.policy.policy import read_policy

TEXT, NUMBER, ABOUT = {"type": "string"}, {"type": "number"}, {"type": ["string", "null"]}
NEAR = {
    "type": "object", "properties": {"approx": NUMBER, "within": NUMBER}, "required": ["approx"],
    "additionalProperties": False,
}  # fmt: skip
VALUE = {"anyOf": [{"type": ["number", "string", "boolean", "null"]}, NEAR]}


def schema_of(project: RunningProject) -> dict[str, Any]:
    """Return the schema (draft 2020-12) of `tests/*.yaml`; what the reader refuses beyond it is said by it.

    >>> from features.project.running import project_at
    >>> schema = schema_of(project_at("examples/logins"))
    >>> sorted(schema["properties"]), schema["$defs"]["decision"]["enum"]
    (['about', 'defaults', 'tests'], ['allow', 'challenge', 'deny'])
    """
    forms = forms_of(project.pipeline)
    policy = read_policy(project.policy_path, project).policy
    defaults = _object({name: _fields(form) for name, form in forms.items()})
    records = [_record(project, form) for form in forms.values()]
    test = _object(
        {
            "about": ABOUT, "defaults": defaults,
            "thresholds": _object(dict.fromkeys(project.decisions.names[1:], NUMBER)),
            "records": {"type": "array", "items": {"anyOf": records}},
        },
        "records",
    )  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Tests of {project.name}",
        **_object(
            {
                "about": ABOUT, "defaults": defaults,
                "tests": {"type": "object", "minProperties": 1, "additionalProperties": test},
            },
            "tests",
        ),
        "$defs": {
            "decision": {"enum": list(project.decisions.names)}, "rule": {"enum": list(policy.rules)},
        },
    }  # fmt: skip


def _record(project: RunningProject, form: Form) -> dict[str, Any]:
    """Return the schema of a record of a source: its fields or a text, and what stands beside."""
    values = dict.fromkeys(values_of_source(project, form.source), VALUE)
    expect: dict[str, Any] = {
        **values, "refused": {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": "^E_[A-Z_]+$"}]},
        "repeated": {"type": "boolean"},
    }  # fmt: skip
    beside: dict[str, Any] = {"key": TEXT, "delivered": TEXT}
    if form.source.is_scored:
        expect |= {
            "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}},
            "decision": {"$ref": "#/$defs/decision"}, "decided_by": {"enum": list(DECIDED_BY)},
        }  # fmt: skip
        batch = dict.fromkeys(project.profile.columns, NUMBER)
        beside |= {"score": {"type": "number", "minimum": 0, "maximum": 1}, "batch": _object(batch)}
    given = {"anyOf": [_fields(form), TEXT, {"type": "null"}]}
    return _object({form.name: given, **beside, "expect": _object(expect)}, form.name)


def _fields(form: Form) -> dict[str, Any]:
    return _object({name: _field(field) for name, field in form.fields.items()})


def _field(field: ContractField) -> dict[str, Any]:
    """Return a field's hint; any value may stand there, for a test may send what the contract refuses."""
    return {"examples": list(field.enum[:20])} if field.enum else {}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return found | ({"required": list(required)} if required else {})
