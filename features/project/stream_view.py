"""Check one view against its contract and turn it into what the engine runs."""

from msgspec import structs

from contracts.errors import ConfigError
from features.declare import DeclaredView
from features.definition import View
from features.project.bounds import rows_allowed
from features.project.compiled import POSITIVE, CompiledFeature, CompiledView
from features.project.formulas import check_condition
from features.project.functions import OF_ITEM, OF_MEASURE
from features.project.problems import Problems
from features.project.schema import schema_of, stage_schema
from features.project.view_features import compile_features
from features.project.view_fields import ViewContext, check_keys, check_read, time_field
from features.view_groups import ViewGroups


def compile_view(declared: DeclaredView, context: ViewContext) -> CompiledView:
    """Return a view in full, and note every problem of it."""
    check_keys(declared, context)
    time = time_field(declared, context)
    features = tuple(
        feature for asked in declared.features for feature in compile_features(declared, asked, context)
    )
    where = None
    if declared.where is not None:
        where = declared.where.tree
        check_condition(where, schema_of(context.contract), declared.written, context.problems)
        check_read(where.inputs(), f"the filter of {declared.name!r}", declared.written, context)
    measures, items = _measures(declared, features), _items(features)
    compiled = CompiledView(
        declared=declared,
        name=declared.name,
        entity=declared.entity.name,
        source=declared.source.name,
        time=time,
        features=features,
        where=where,
        measures=measures,
        items=items,
        rows_allowed=_rows_allowed(features, context),
        view=_engine_view(declared, context, features, time),
    )
    _check_horizon(compiled, context.problems)
    return compiled


def _measures(declared: DeclaredView, features: tuple[CompiledFeature, ...]) -> tuple[str, ...]:
    """Return the fields that are aggregated; of labels the column that says which are positive, too."""
    found = [name for f in features if f.function in OF_MEASURE for name in f.fields]
    if declared.source.positive is not None:
        found.append(POSITIVE)
    return tuple(dict.fromkeys(found))


def _items(features: tuple[CompiledFeature, ...]) -> tuple[str, ...]:
    """Return what is told apart, each as the engine says it: several fields of one item joined by "+"."""
    return tuple(dict.fromkeys("+".join(f.fields) for f in features if f.function in OF_ITEM))


def _rows_allowed(features: tuple[CompiledFeature, ...], context: ViewContext) -> dict[str, int]:
    """Return, by measure, how many rows of a key its aggregations leave room for."""
    found: dict[str, int] = {}
    for feature in features:
        for name in feature.fields if feature.function in OF_MEASURE else ():
            field = context.contract.by_name.get(name)
            if field and field.is_measure and field.magnitude is not None:
                rows = rows_allowed(feature.function, field.magnitude)
                found[name] = min(rows, found.get(name, rows))
    return found


def _engine_view(
    declared: DeclaredView, context: ViewContext, features: tuple[CompiledFeature, ...], time: str
) -> View | None:
    """Return the view as the engine runs it; None where a problem leaves none."""
    labels = declared.source.is_labels
    distinct = any(f.function == "distinct" for f in features)
    schema = stage_schema(context.contract)
    try:
        view = View(
            name=declared.name,
            rows=context.number,
            source=declared.source.name,
            where=declared.where.tree if declared.where is not None else None,
            time=time,
            item="+".join(context.contract.id_fields) if labels else "",
            items="replace" if labels else "distinct" if distinct else "none",
            features=tuple(f.feature for f in features),
        )
    except (ConfigError, ValueError):  # whatever it refuses is noted where it was asked for
        return None
    types = tuple((name, schema[name]) for name in view.reads if name in schema)
    return _kept(declared, structs.replace(view, types=types), context)


def _kept(declared: DeclaredView, view: View, context: ViewContext) -> View | None:
    """Return the view where a state of it can be made; what its expressions lack was noted."""
    try:
        ViewGroups(view)
    except ConfigError as error:
        if error.code == "E_WINDOW_HOP":
            context.problems.note_error(declared.written, error, declared.name)
        return None
    return view


def _check_horizon(view: CompiledView, problems: Problems) -> None:
    """Note a view of which no row is ever forgotten, or that has no features."""
    if not view.declared.features:
        problems.note(
            view.declared.written,
            "E_DECLARE_FEATURE",
            f"the view {view.name!r} has no features",
            "give it aggregations, or take it away",
        )
    elif view.features and not max(feature.reach_ms for feature in view.features):
        problems.note(
            view.declared.written,
            "E_VIEW_HORIZON",
            f"{view.name}: nothing says when a row may be forgotten",
            "give the view a feature over a length of time, or over the lifetime",
        )
