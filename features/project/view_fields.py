"""Check the fields that a view names against its source's contract: keys, time, measures, items."""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.contract_file import ReadContract
from contracts.contract_version import ContractField, ContractVersion
from features.declare import Aggregate, DeclaredView, Source, WrittenAt
from features.project.bounds import check_measure
from features.project.compiled import time_of
from features.project.formulas import check_condition
from features.project.functions import OF_LABELS, OF_MEASURE
from features.project.problems import Problems
from features.project.schema import schema_of

_KEY_TYPES = ("string", "integer")
_ITEM_TYPES = ("string", "integer", "decimal", "boolean")


@dataclass(frozen=True, kw_only=True)
class ViewContext:
    """What a view is checked against: its contract as read, which source is scored, and its own's number."""

    read: ReadContract
    contract: ContractVersion
    scored: Source
    number: int
    problems: Problems


def check_keys(declared: DeclaredView, context: ViewContext) -> None:
    """Note keys that the records do not have; a label without them cannot reach its entity."""
    read, source, entity = context.read, declared.source, declared.entity
    for name in entity.fields:
        if name not in read.names:
            code, reach = "E_DECLARE_KEY", f"the view {declared.name!r} needs the key {name!r}"
            if source.is_labels:
                code, reach = "E_DECLARE_LABEL", f"a label of {source.name!r} cannot reach {entity.name!r}"
            context.problems.note(
                declared.written,
                code,
                f"{reach}: no field {name!r} in {source.contract}",
                "add the field to the contract, or take the view away",
                (name, read.names),
            )
        field = context.contract.by_name.get(name)
        if field and (field.type not in _KEY_TYPES or not field.column):
            context.problems.note(
                declared.written,
                "E_DECLARE_KEY",
                f"the key {name!r} is a {_kind(field)}",
                "choose a string or an integer as key",
            )


def time_field(declared: DeclaredView, context: ViewContext) -> str:
    """Return the field of the time at which the view's rows count."""
    source, contract = declared.source, context.contract
    time = time_of(source, contract)
    if time:
        return time
    what, name = (
        ("when a label became known", "knownAt") if source.is_labels else ("an event's time", "eventTime")
    )
    context.problems.note(
        source.written,
        "E_DECLARE_TIME",
        f"{source.contract} does not say {what}",
        f"add the custom property {name} to the contract, with the name of a time field",
    )
    return ""


def check_read(names: Iterable[str], of: str, at: WrittenAt, context: ViewContext) -> None:
    """Note fields that no stage sees as they are: of personal ones at most a hash leaves the gate."""
    for name in names:
        field = context.contract.by_name.get(name)
        if field and field.personal:
            context.problems.note(
                at,
                "E_DECLARE_PERSONAL",
                f"{of} reads {name!r}, which is personal: no stage sees it as it is",
                "leave it out; distinct, top_share, first_seen and same_as_last may tell its values apart",
            )
        elif field and not field.column:
            context.problems.note(
                at,
                "E_DECLARE_FIELD",
                f"{of} reads {name!r}, which is no column: an object, a list or a long text",
                "name a short text, a number or a truth value",
            )


def check_fields(declared: DeclaredView, asked: Aggregate, context: ViewContext) -> None:
    """Note fields that are not there, or of a type that the aggregation does not take."""
    problems, names = context.problems, context.read.names
    for name in asked.fields:
        field = context.contract.by_name.get(name)
        if name not in names:
            problems.note(
                asked.written,
                "E_DECLARE_FIELD",
                f"{asked.function} of {name!r}: no such field in {declared.source.contract}",
                "name a field of the contract",
                (name, names),
            )
        elif field and asked.function in OF_MEASURE:
            check_read((name,), asked.function, asked.written, context)
            _check_measure(declared, asked, field, problems)
        elif field and (field.type not in _ITEM_TYPES or not field.column):
            problems.note(
                asked.written,
                "E_DECLARE_FIELD",
                f"{asked.function} of {name!r}, which is a {_kind(field)}",
                "name a text, a whole number, a decimal or a truth value",
            )
    _check_counted(declared, asked, context)


def _kind(field: ContractField) -> str:
    """Return what a field is, for people."""
    is_long = field.type == "string" and field.shape == "one" and not field.column
    return "string whose maxLength is above 256 bytes" if is_long else field.type


def _check_measure(
    declared: DeclaredView, asked: Aggregate, field: ContractField, problems: Problems
) -> None:
    if field.is_measure:
        check_measure(asked, field, declared.rows_max, problems)
        return
    advice = "name a whole number, a decimal or a truth value"
    if field.type == "number":
        advice = "declare it as decimal(digits, scale) in its contract: sums of floats depend on their order"
    problems.note(
        asked.written,
        "E_DECLARE_MEASURE",
        f"{asked.function} of {field.name!r}, which is a {field.type}",
        advice,
    )


def _check_counted(declared: DeclaredView, asked: Aggregate, context: ViewContext) -> None:
    """Note a share of nothing, or positives where there are no labels."""
    if asked.condition is not None:
        check_condition(asked.condition.tree, schema_of(context.contract), asked.written, context.problems)
        check_read(asked.condition.tree.inputs(), asked.function, asked.written, context)
    elif asked.function in (*OF_LABELS, "share") and not declared.source.is_labels:
        context.problems.note(
            asked.written,
            "E_DECLARE_LABEL",
            f"{asked.function} of {declared.source.name!r}, which has no labels",
            'give share a condition, as share("24h", col("channel") == "web"), or take a source of labels',
        )
