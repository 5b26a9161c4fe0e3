"""What a test expects at a record, and whether it was so: exactly, but where a test says how near."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from contracts.errors import ConfigError
from features.project.running import RunningProject
from headrace.testing.delivery import Delivered
from headrace.traffic.form import Form
from inference.policy.decision import DECIDED_BY
from inference.policy.policy import read_policy

OUTCOMES = ("refused", "repeated", "rules", "decision", "decided_by")  # all other names are features'
APPROX, WITHIN = "approx", "within"
WITHIN_USUAL = 1e-6
Wrong = tuple[str, str, tuple[str, Iterable[str]]]


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One line of a test: what a name comes to at a record, and where that is written."""

    file: str
    line: int
    name: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """An expectation that does not hold, and what was there instead."""

    expectation: Expectation
    record: str
    found: Any


def holds(expected: Expectation, came: Delivered) -> bool:
    """Return whether a record came to what is expected of it.

    >>> came = Delivered(source="logins", values={"share": 1 / 3, "channel": "web"}, rules=("guessing",))
    >>> def is_so(name, value): return holds(Expectation(file="", line=1, name=name, value=value), came)
    >>> is_so("share", 0.333), is_so("share", {"approx": 0.333, "within": 0.001}), is_so("channel", "web")
    (False, True, True)
    >>> is_so("rules", ["guessing"]), is_so("refused", False)
    (True, True)
    """
    found, value = found_of(expected, came), expected.value
    if expected.name in ("refused", "repeated") and isinstance(value, bool):
        return bool(found) is value
    if expected.name == "rules":
        return sorted(found or ()) == sorted(value)
    if isinstance(value, dict):
        near = value.get(WITHIN, WITHIN_USUAL)
        return isinstance(found, int | float) and math.fabs(found - value[APPROX]) <= near
    if value is None or isinstance(value, str):
        return bool(found == value)
    return isinstance(found, int | float) and float(found) == float(value)


def found_of(expected: Expectation, came: Delivered) -> Any:
    """Return what a record came to under the name of an expectation; its code where it was refused."""
    name = expected.name
    if name == "refused":
        return came.refused or None
    if name == "repeated":
        return came.repeated
    if came.refused or came.repeated:
        return f"refused: {came.refused}: {came.reason}" if came.refused else "repeated, it counts nowhere"
    if name == "rules":
        return list(came.rules)
    return getattr(came, name) if name in OUTCOMES else came.values[name]


def about_expected(name: str, value: Any, form: Form, project: RunningProject) -> Wrong | None:
    """Return what is wrong with an expected value, or nothing; `name` is empty for a feature's."""
    scored_only = name in ("rules", "decision", "decided_by")
    if scored_only and not form.source.is_scored:
        return f"records of {form.name} have no {name}", "expect it of a scored record", ("", ())
    if name == "refused" and not isinstance(value, bool) and not _is_code(value):
        return f"refused is {value!r:.40}", "write the code, as E_CONTRACT_RANGE, or true", ("", ())
    if name == "repeated" and not isinstance(value, bool):
        return f"repeated is {value!r:.40}", "write true or false", ("", ())
    if name == "decision":
        return _not_one_of("decision", value, project.decisions.names)
    if name == "decided_by":
        return _not_one_of("decided_by", value, DECIDED_BY)
    if name == "rules":
        return _about_rules(value, project)
    return None if name else _about_value(value)


def _about_rules(value: Any, project: RunningProject) -> Wrong | None:
    if not isinstance(value, list):
        return f"rules are {value!r:.40}", "write a list of rules, [] for none", ("", ())
    try:
        known = list(read_policy(project.policy_path, project).policy.rules)
    except ConfigError as error:
        return error.what, error.next_step, ("", ())
    return next((wrong for one in value if (wrong := _not_one_of("rule", one, known))), None)


def _about_value(value: Any) -> Wrong | None:
    if isinstance(value, dict):
        numbers = [
            one for one in value.values() if isinstance(one, int | float) and not isinstance(one, bool)
        ]
        right = APPROX in value and value.keys() <= {APPROX, WITHIN} and len(numbers) == len(value)
        return None if right else (f"{value!r:.60}", "write {approx: NUMBER, within: NUMBER}", ("", ()))
    if isinstance(value, list):
        return f"{value!r:.60}", "write one value", ("", ())
    return None


def _not_one_of(what: str, value: Any, known: Iterable[str]) -> Wrong | None:
    names = list(known)
    if value in names:
        return None
    return f"no {what} {value!r:.60}", f"name one of {', '.join(names) or 'none'}", (str(value), names)


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("E_") and value.isupper()
