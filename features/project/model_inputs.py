"""Check what a model is given: event fields, views, derived features and the labels it learns from."""

from collections.abc import Iterator, Mapping

from contracts.contract_version import ContractField, ContractVersion
from features.declare import CLOCK_FIELDS, DeclaredBatchView, DeclaredView, Model, Project
from features.expressions import Schema, Tree, Type, col, hour, integer, number, weekday
from features.project.compiled import CompiledModel, CompiledView
from features.project.formulas import check_formula
from features.project.problems import Problems
from features.project.schema import schema_of

CATEGORY_VALUES_MAX = 1_000  # more are an item or a key: a model cannot learn each
_GIVEN = ("integer", "decimal", "number", "boolean")


def compile_model(
    declared: Model, project: Project, contract: ContractVersion | None, views: tuple[CompiledView, ...],
    problems: Problems,
) -> CompiledModel:  # fmt: skip
    """Return a model's inputs in order, and note every problem of them."""
    if contract is not None:
        _check_event(declared, contract, problems)
    _check_label(declared, project, problems)
    groups = dict(_groups(declared, project, views))
    stored = {name: number() for columns in groups.values() for name in columns}
    known: dict[str, Type] = {**(event_schema(contract) if contract else {}), **stored}
    derived = dict(_derived(declared, known, contract is not None, problems))
    return CompiledModel(
        declared=declared,
        name=declared.name,
        of_event=_of_event(declared, contract),
        groups=groups,
        derived=derived,
        categories=_categories(declared, contract),
    )


def _of_event(declared: Model, contract: ContractVersion | None) -> dict[str, Tree]:
    """Return the formula of each field of the event: the field itself, or what its time says, in UTC."""
    at = col(contract.event_time if contract else "event_time")
    clock = {"hour_of_day": hour(at), "is_night": hour(at) < 6, "is_weekend": weekday(at) >= 5}
    return {name: clock.get(name, col(name)).tree for name in declared.event}


def _categories(declared: Model, contract: ContractVersion | None) -> dict[str, tuple[str, ...]]:
    fields = contract.by_name if contract else {}
    named = [name for name in declared.event if name in fields]
    return {name: fields[name].enum for name in named if fields[name].is_category}


def event_schema(contract: ContractVersion) -> Schema:
    """Return what formulas and rules may use of an event: its fields, and what its time says."""
    clock = {"hour_of_day": integer(0, 23), "is_night": integer(0, 1), "is_weekend": integer(0, 1)}
    return {**schema_of(contract), **clock}


def _check_event(declared: Model, contract: ContractVersion, problems: Problems) -> None:
    known = {*contract.by_name, *CLOCK_FIELDS}
    for name in declared.event:
        field = contract.by_name.get(name)
        if name not in known:
            problems.note(
                declared.written,
                "E_DECLARE_FIELD",
                f"{declared.name}: no field {name!r} in {contract.file}",
                f"name a field of the contract, or one of {', '.join(CLOCK_FIELDS)}",
                (name, known),
            )
        elif field is not None:
            _check_given(declared, field, problems)


def _check_given(declared: Model, field: ContractField, problems: Problems) -> None:
    """Note a field that a model cannot be given, and a category of too many values."""
    if len(field.enum) > CATEGORY_VALUES_MAX:
        problems.note(
            declared.written,
            "E_DECLARE_CATEGORY",
            f"{declared.name}: the category {field.name!r} has {len(field.enum):,} values,"
            f" more than {CATEGORY_VALUES_MAX:,}",
            "group its values in a field of fewer, or make it the item of a distinct count or a key",
        )
    elif field.personal or not (field.is_category or (field.type in _GIVEN and field.shape == "one")):
        what = "is personal" if field.personal else f"is a {field.type}"
        problems.note(
            declared.written,
            "E_DECLARE_CATEGORY",
            f"{declared.name}: {field.name!r} {what}, no number or category",
            "give the contract its values as an enum, or use the field as a key or an item",
        )


def _check_label(declared: Model, project: Project, problems: Problems) -> None:
    label = declared.label
    if label is not None and not label.is_labels:  # labels of another source are the source's problem
        problems.note(
            declared.written,
            "E_DECLARE_LABEL",
            f"{declared.name}: {label.name!r} has no labels of {project.scored.name!r}, which is scored",
            f"declare it as Source({label.contract!r}, labels=...) of the scored source",
        )


def _groups(
    declared: Model, project: Project, views: tuple[CompiledView, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the stored features of each entity, in the chain's order, then of each batch view."""
    of = {view.declared: view for view in views}
    for entity in project.chain:
        given = [each for each in declared.views if isinstance(each, DeclaredView) and each.entity is entity]
        columns = tuple(name for each in given if each in of for name in of[each].columns)
        if columns:
            yield entity.name, columns
    for each in declared.views:
        if isinstance(each, DeclaredBatchView):
            yield each.name, each.columns


def _derived(
    declared: Model, known: Mapping[str, Type], complete: bool, problems: Problems
) -> Iterator[tuple[str, Tree]]:
    """Yield derived features; each may use those before it."""
    names = dict(known)
    for name, expression in declared.derived:
        found = check_formula(name, expression.tree, names, declared.written, problems) if complete else None
        names[name] = found or number()
        yield name, expression.tree
