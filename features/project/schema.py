"""The fields of a contract as types of the expression language."""

from contracts.contract_version import ContractField, ContractVersion
from features import expressions
from features.expressions import Schema, Type
from features.expressions.tree import INT64_MAX, INT64_MIN


def schema_of(contract: ContractVersion) -> Schema:
    """Return the types of a contract's columns; objects and lists have none.

    >>> from contracts.contract_file import contract_of
    >>> from pathlib import Path
    >>> schema_of(contract_of(Path("examples/logins/contracts/resets.yaml")))["method"].members
    ('email', 'sms')
    """
    typed = {field.name: type_of(field) for field in contract.fields}
    return {name: found for name, found in typed.items() if found is not None}


def stage_schema(contract: ContractVersion) -> Schema:
    """Return the types of a contract's columns as stages see them: personal ones are hashes, "" is null."""
    found = dict(schema_of(contract))
    for field in contract.fields:
        if field.name in found:
            seen = expressions.text_type() if field.personal else found[field.name]
            found[field.name] = seen.or_null(not field.is_never_null)
    return found


def type_of(field: ContractField) -> Type | None:
    """Return a field's type; None for what has no column."""
    nullable = not field.required
    if not field.column:
        return None
    low = INT64_MIN if field.low is None else int(field.low)
    high = INT64_MAX if field.high is None else int(field.high)
    match field.type:
        case "string":
            return expressions.text_type(*field.enum, nullable=nullable)
        case "integer":
            return expressions.integer(low, high, nullable=nullable)
        case "decimal":
            return expressions.decimal(field.scale, low, high, nullable=nullable)
        case "number":
            return expressions.number(nullable=nullable)
        case "boolean":
            return expressions.boolean(nullable=nullable)
        case "time":
            return expressions.time(nullable=nullable)
    return None
