"""Feast's feature service: what a model is given, stored features and those computed at the request.

The computed ones are an on-demand view over the same formulas that the scorer and the training set use, in
list mode: Feast's `singleton` mode answers the first row of a request and silently leaves out the rest.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from feast import FeatureService, FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.types import Float64, Int64, String
from numpy.typing import NDArray

from features.expressions import Program, Schema, number
from features.expressions.evaluate import Given, Nullable
from features.project.running import RunningProject, project_at
from features.project.schema import schema_of
from features.project.service import Service, service_of
from streams.store.feast.feast_calls import Inputs, Outputs, StoredFeature, named, stored_function


class ModelService(NamedTuple):
    """What Feast is told of a model; a model that computes nothing needs no request and no on-demand view."""

    service: FeatureService
    computed: OnDemandFeatureView | None = None
    request: RequestSource | None = None

    @property
    def on_demand(self) -> list[OnDemandFeatureView]:
        """Its on-demand view, if it has one."""
        return [self.computed] if self.computed else []

    @property
    def requests(self) -> list[RequestSource]:
        """What the caller says with the request, if anything."""
        return [self.request] if self.request else []


def computed_name(service: Service) -> str:
    """Return what Feast calls the view of a model's computed features."""
    return f"{service.name}_computed"


def completed(project: RunningProject, inputs: Inputs) -> Outputs:
    """Return what a model's formulas say of stored features and the event; null is NaN.

    Args:
        inputs: lists of one length: the event's fields that formulas read, the stored features, and whatever
            else Feast hands over (keys of the rows).
    """
    service, schema = service_of(project.model), schema_of(project.scored_contract)
    numbers = {one.name: one.tree for one in service.of_event if not _is_text(one.name, schema)}
    of_event = Program(numbers, schema)
    event = of_event.floats({name: _given(inputs[name], schema, name) for name in of_event.inputs})
    stored = {name: _floats(inputs[name]) for name in service.stored_columns if name in inputs}
    known = dict.fromkeys([*event, *service.stored_columns], number())
    derived = Program({one.name: one.tree for one in service.of_features}, known).floats(stored | event)
    outputs = {name: (event | derived)[name].tolist() for name in _computed(project)}
    return named(outputs, computed_name(service), inputs, _first_stored(project))


def model_service(project: RunningProject, views: Mapping[str, FeatureView]) -> ModelService | None:
    """Return the service of a project's model over the given feature views; None without a model."""
    if project.model is None:
        return None
    service, names = service_of(project.model), _computed(project)
    if not names:
        return ModelService(FeatureService(name=service.name, features=list(views.values())))
    schema = schema_of(project.scored_contract)
    request = RequestSource(name=project.pipeline.scored.name, schema=_request(project, schema))
    read = {name for one in service.of_features for name in one.tree.inputs()}
    stored = [
        view
        for view in views.values()
        if view.stream_source is not None or read & {feature.name for feature in view.features}
    ]
    computed = _on_demand(project, computed_name(service), [request, *stored], names)
    return ModelService(
        FeatureService(name=service.name, features=[*views.values(), computed]), computed, request
    )


def _on_demand(
    project: RunningProject, name: str, sources: list[Any], columns: tuple[str, ...]
) -> OnDemandFeatureView:
    function, source = stored_function(name, f"{__name__}.{completed_at.__name__}", str(project.folder))
    return OnDemandFeatureView(
        name=name,
        sources=sources,
        schema=[Field(name=column, dtype=Float64) for column in columns],
        mode="python",
        udf=function,
        udf_string=source,
    )


def completed_at(folder: str, inputs: Inputs) -> Outputs:
    """Return as `completed`, of the project of a folder."""
    return completed(project_at(folder), inputs)


def _computed(project: RunningProject) -> tuple[str, ...]:
    """Return the model's inputs that are no field of the event and no stored feature."""
    service, fields = service_of(project.model), project.scored_contract.by_name
    return tuple(name for name in service.event + service.derived if name not in fields)


def _request(project: RunningProject, schema: Schema) -> list[Field]:
    """Return the fields of the event that a caller gives: the model's own, and those that formulas read."""
    trees = [one.tree for one in service_of(project.model).of_event]
    names = dict.fromkeys(name for tree in trees for name in tree.inputs())
    kinds = {"text": String, "float": Float64}
    return [Field(name=name, dtype=kinds.get(schema[name].kind, Int64)) for name in names]


def _first_stored(project: RunningProject) -> StoredFeature | None:
    """Return a stored feature by which it is seen how Feast calls; None where the model has none."""
    for entity in project.entities:
        for view in entity.views:
            field = project.pipeline.chain.named(entity.name).fields[0]
            return StoredFeature(view.name, view.columns[0], field)
    return None


def _given(values: list[Any], schema: Schema, name: str) -> Given:
    """Return a column as formulas take it: a null is a null, whatever the type."""
    null = np.array([value is None for value in values])
    match schema[name].kind:
        case "float":
            return _floats(values)
        case "text":
            texts = [b"" if value is None else str(value).encode() for value in values]
            column: NDArray[Any] = np.array(texts, np.bytes_)
        case "bool":
            column = np.array([bool(value) for value in values])
        case _:
            column = np.array([0 if value is None else int(value) for value in values], np.int64)
    return Nullable(column, null) if null.any() else column


def _is_text(name: str, schema: Schema) -> bool:
    """Return whether an input is a category of the event: the caller gives it, and nothing is computed."""
    return name in schema and schema[name].kind == "text"


def _floats(values: list[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
