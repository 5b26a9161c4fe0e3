"""How a project's producers write the records of a source: where each field stands, what keys and names one.

All of it follows from the contracts; nothing here knows what a project is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contracts.contract_version import ContractField, to_ms
from contracts.document import Refused
from contracts.errors import ConfigError
from contracts.event_identity import EventIdentity, identity_in
from contracts.pipeline import Pipeline, SourceStream
from contracts.problem import nearest_name
from contracts.written_values import time_of

MOMENT_MAX = 1 << 62


@dataclass(frozen=True, eq=False)
class Form:
    """One source's records, as JSON documents.

    Args:
        key: the field whose text is the record's key; None where nothing of the record can be it.
        ids: the fields that name the record's event; empty where its place in the log does.
    """

    source: SourceStream
    key: ContractField | None
    ids: tuple[ContractField, ...]

    @property
    def name(self) -> str:
        """What the project calls the source."""
        return self.source.name

    @cached_property
    def fields(self) -> Mapping[str, ContractField]:
        """The fields of the newest contract by name."""
        return self.source.versions[-1].by_name

    @cached_property
    def time(self) -> ContractField:
        """The field by whose time records are in order."""
        return self.fields[self.source.time]

    @cached_property
    def needed(self) -> tuple[ContractField, ...]:
        """The fields without which nothing can be sent: time, id, and the key that the contract checks."""
        key = (self.key,) if self.key is not None and self.source.versions[-1].key_field else ()
        return tuple({field.name: field for field in (*key, *self.ids, self.time)}.values())

    def key_of(self, document: Mapping[str, Any]) -> bytes | None:
        """Return the record's key."""
        return text_of(value_at(document, self.key)) if self.key is not None else None

    def id_of(self, document: Mapping[str, Any]) -> str:
        """Return the id of the record's event, "" where the record does not say it."""
        parts = [(text_of(value_at(document, field)) or b"").decode() for field in self.ids]
        return "/".join(parts) if any(parts) else ""

    def moment_of(self, document: Mapping[str, Any]) -> int:
        """Return the record's time in epoch ms, 0 where it says none."""
        value = value_at(document, self.time)
        if isinstance(value, str) and self.time.time_format == "iso8601":
            try:
                return time_of(value, self.time.zone)
            except Refused:
                return 0
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOMENT_MAX:
            return to_ms(value, self.time.time_format)
        return 0


def forms_of(pipeline: Pipeline) -> dict[str, Form]:
    """Return how each source's records are written, by the source's name, the scored one first.

    A record whose contract names no key field is keyed by the first entity of the chain that it has, so that
    the records of one key stay in their order, else by its own id.

    >>> from features.project.running import project_at
    >>> forms = forms_of(project_at("examples/logins").pipeline)
    >>> list(forms), forms["takeovers"].id_of({"login_id": "l1", "account_id": "a1"})
    (['logins', 'takeovers', 'resets'], 'l1')
    """
    event = identity_in(pipeline)
    return {source.name: _form(pipeline, event, source) for source in pipeline.sources}


def form_of(forms: Mapping[str, Form], named: str) -> Form:
    """Return the form of a source that was named by its name or its topic.

    Raises:
        ConfigError: E_INPUT_SOURCE, the project has no such source; the nearest name is told.
    """
    found = forms.get(named) or next((f for f in forms.values() if f.source.topic == named), None)
    if found is None:
        nearest = nearest_name(named, tuple(forms))
        raise ConfigError(
            "E_INPUT_SOURCE", "the project has no such source", named,
            f"did you mean {nearest}?" if nearest else f"name one of {', '.join(forms)}",
        )  # fmt: skip
    return found


def _form(pipeline: Pipeline, event: EventIdentity, source: SourceStream) -> Form:
    contract = source.versions[-1]
    names = event.fields if source.role != "context" else source.ids
    ids = tuple(contract.by_name[name] for name in names if name in contract.by_name)
    links = (link.fields[0] for link in pipeline.chain.links)
    key = contract.key_field or next((name for name in links if name in contract.by_name), "")
    return Form(source, contract.by_name[key] if key else next(iter(ids), None), ids)


def value_at(document: Mapping[str, Any], field: ContractField) -> object:
    """Return what a document holds where a field stands; None for nothing."""
    value: object = document
    for name in field.path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_of(value: object) -> bytes | None:
    """Return a text or whole number as UTF-8; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.encode("utf-8", "replace") if isinstance(value, str) else None
