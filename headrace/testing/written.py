"""Records as a test writes them: a field by its name in the contract, or the very text that is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from contracts.contract_version import ContractField
from contracts.document import Refused
from contracts.errors import ConfigError
from contracts.problem import nearest_name
from contracts.written_values import time_of
from headrace.traffic.form import Form

_PER_MS = {"epoch_s": 1_000, "epoch_ms": 1}


@dataclass(frozen=True, kw_only=True)
class WrittenRecord:
    """One record of a test, in the order of delivery.

    Args:
        form: of its source.
        value: what the producer sends.
        document: the same as an object, empty where it is none.
        key: None for the one that its producer gives it.
        delivered_ms: when the broker has it; None: at its own time, and never before the record before it.
        batch: values of batch features at this record, by name.
        score: what a model gives it; None leaves the decision to rules.
    """

    form: Form
    value: bytes
    document: Mapping[str, Any]
    key: bytes | None = None
    delivered_ms: int | None = None
    batch: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None

    @property
    def sent_key(self) -> bytes | None:
        """The record's key as it is sent."""
        return self.form.key_of(self.document) if self.key is None else self.key


def written_record(form: Form, given: Mapping[str, Any] | str, **rest: Any) -> WrittenRecord:
    """Return a record of fields by name, or of the text that is sent as it stands.

    A time may be ISO 8601 text whatever the contract's format is. A field that is null is sent as null; one
    that is not named is left out.

    Raises:
        ConfigError: E_TEST_FIELD, the contract has no such field, or a time is none.

    >>> from features.project.running import project_at
    >>> from headrace.traffic.form import forms_of
    >>> logins = forms_of(project_at("examples/logins").pipeline)["logins"]
    >>> written_record(logins, {"login_id": "l1", "account_id": "a1"}).value
    b'{"login_id":"l1","account":{"id":"a1"}}'
    """
    if isinstance(given, str):
        return WrittenRecord(form=form, value=given.encode(), document=_parsed(given), **rest)
    document: dict[str, Any] = {}
    for name, value in given.items():
        found = form.fields.get(name)
        if found is None:
            near = nearest_name(name, form.fields)
            raise ConfigError(
                "E_TEST_FIELD", f"the contract of {form.name} has no field {name!r}", form.name,
                f"did you mean {near!r}?" if near else f"name one of {', '.join(form.fields)}",
            )  # fmt: skip
        _put(document, found.path, _in_format(found, value))
    return WrittenRecord(form=form, value=orjson.dumps(document), document=document, **rest)


def moment_of(text: str, zone: str = "") -> int:
    """Return epoch ms of ISO 8601 text.

    Raises:
        ConfigError: E_TEST_FIELD, it is none.
    """
    try:
        return time_of(text, zone)
    except Refused as refused:
        raise ConfigError(
            "E_TEST_FIELD", f"{text!r:.60} is no time: {refused.reason}", "",
            "write it as 2025-03-01T10:00:00Z",
        ) from refused  # fmt: skip


def _in_format(found: ContractField, value: Any) -> Any:
    """Return a value as its producer writes it: a time that is text here is a number there."""
    if found.type != "time" or found.time_format == "iso8601" or not isinstance(value, str):
        return value
    at_ms = moment_of(value, found.zone)
    return at_ms * 1_000 if found.time_format == "epoch_us" else at_ms // _PER_MS[found.time_format]


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
