"""Turn what a view asks for into features, one a window, each checked against what can be kept."""

from collections.abc import Iterator

from msgspec import structs

from contracts.errors import ConfigError
from features.declare import Aggregate, DeclaredView
from features.definition import Feature, Items, Window, check_feature
from features.expressions import Tree
from features.project.compiled import POSITIVE, CompiledFeature
from features.project.durations import windows_of
from features.project.functions import OF_ITEM, OF_MEASURE, engine_aggregation, feature_name, function_of
from features.project.view_fields import ViewContext, check_fields


def compile_features(
    declared: DeclaredView, asked: object, context: ViewContext
) -> Iterator[CompiledFeature]:
    """Yield the features that a view asks for by one of its entries, and note what is wrong with them."""
    if isinstance(asked, Feature):
        short = _short_form(declared, asked)
        check_fields(declared, short, context)
        yield _compiled(declared, short, asked, context)
    elif isinstance(asked, Aggregate):
        check_fields(declared, asked, context)
        for feature in _engine_features(declared, asked, context):
            yield _compiled(declared, asked, feature, context)
    else:
        context.problems.note(
            declared.written,
            "E_DECLARE_FEATURE",
            f"{asked!r:.60} is no feature",
            'write aggregations such as count("1h 24h"), or Feature(...)',
        )


def _short_form(declared: DeclaredView, feature: Feature) -> Aggregate:
    """Return what a feature that was written in full asks for, of the view's measure or item."""
    function = function_of(feature.aggregation, declared.source.is_labels)
    fields: tuple[str, ...] = (declared.measure,) if declared.measure else ()
    if feature.aggregation.of_item:
        fields = tuple(declared.item.split("+"))
    if function in ("count", "since_first", "since_last", "positives", "share"):
        fields = ()
    return Aggregate(
        function=function,
        fields=fields,
        windows=feature.window or "",
        name=feature.name,
        before=not feature.current,
        written=declared.written,
    )


def _engine_features(declared: DeclaredView, asked: Aggregate, context: ViewContext) -> Iterator[Feature]:
    """Yield a feature for each window of an aggregation."""
    try:
        windows: tuple[Window | None, ...] = _windows(asked) or (None,)
        aggregation = engine_aggregation(asked)
    except ConfigError as error:
        context.problems.note_error(asked.written, error, asked.function)
        return
    for window in windows:
        name = feature_name(asked, declared.prefix, window.label if window else "")
        yield Feature(name=name, aggregation=aggregation, window=window, current=not asked.before)


def _windows(asked: Aggregate) -> tuple[Window, ...]:
    if isinstance(asked.windows, str):
        return windows_of(asked.windows)
    return (asked.windows,) if isinstance(asked.windows, Window) else tuple(asked.windows)


def _compiled(
    declared: DeclaredView, asked: Aggregate, feature: Feature, context: ViewContext
) -> CompiledFeature:
    try:
        check_feature(feature, *_item_of(declared, asked, context))
    except ConfigError as error:
        context.problems.note_error(asked.written, error, feature.name)
    named = structs.replace(
        feature,
        measure=_measure_of(declared, asked),
        item="+".join(asked.fields) if asked.function in OF_ITEM else "",
        condition=asked.condition.tree if asked.condition is not None else None,
    )
    return CompiledFeature(
        name=feature.name,
        columns=feature.columns,
        function=asked.function,
        fields=asked.fields,
        window=feature.window,
        before=asked.before,
        condition=_condition(declared, asked),
        reach_ms=feature.reach_ms,
        feature=named,
        written=asked.written,
    )


def _measure_of(declared: DeclaredView, asked: Aggregate) -> str:
    """Return the column that is aggregated; of labels, the one that says which are positive."""
    if asked.function in OF_MEASURE:
        return "".join(asked.fields[:1])
    of_positive = asked.condition is None and asked.function in ("share", "positives")
    return POSITIVE if of_positive else ""


def _condition(declared: DeclaredView, asked: Aggregate) -> Tree | None:
    """Return what a share or a number of positives counts."""
    if asked.condition is not None:
        return asked.condition.tree
    positive = declared.source.positive
    return positive.tree if asked.function in ("share", "positives") and positive is not None else None


def _item_of(declared: DeclaredView, asked: Aggregate, context: ViewContext) -> tuple[str, Items]:
    """Return by what a view's rows are told apart, as the engine says it, for one of its features."""
    if declared.source.is_labels:
        return "+".join(context.contract.id_fields), "replace"
    item = "+".join(asked.fields) if asked.function in OF_ITEM else ""
    return item, "distinct" if asked.function == "distinct" else "none"
