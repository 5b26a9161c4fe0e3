"""The model's vector: event fields, stored features and what is derived from both, in the service's order.

The same function serves the scorer, the training set, a request and an explanation, and the formulas are the
service's trees, so a derived feature has one meaning. All of it is float64; NaN is null and goes through.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.expressions import Program, number
from features.expressions.wire import columns_of_wire
from features.project.running import RunningProject
from features.project.schema import schema_of, stage_schema

Floats = NDArray[np.float64]


class VectorMaker:
    """Puts a project's vectors together.

    A category is its place in the contract's list, from 1; an unknown or missing value is 0, a category of
    its own.

    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> empty = [np.full((1, len(entity.columns)), np.nan) for entity in logins.entities]
    >>> event = {"channel": np.array([b"app"]), "at": np.array([1_522_540_831_000])}
    >>> VectorMaker(logins).assemble(event, empty, np.empty((1, 0)))[0, :3].tolist()
    [2.0, 0.0, nan]
    """

    def __init__(self, project: RunningProject) -> None:
        self._service, self._entities = project.service, project.entities
        self._profile = project.profile.columns
        stored = (*self._service.event, *self._service.stored_columns)
        computed = [one for one in self._service.of_event if one.name not in self._service.categories]
        schema = schema_of(project.scored_contract)
        self._of_event = Program({one.name: one.tree for one in computed}, schema)
        self._wire = stage_schema(project.scored_contract)
        decimals = [one for one in computed if one.name in schema and schema[one.name].kind == "decimal"]
        self._units = {one.name: float(10 ** schema[one.name].scale) for one in decimals}
        self._of_features = Program(
            {one.name: one.tree for one in self._service.of_features}, dict.fromkeys(stored, number())
        )
        self._codes = {name: Categories(values) for name, values in self._service.categories.items()}

    def assemble(
        self, event: Mapping[str, NDArray[Any]], groups: Sequence[Floats], profile: Floats
    ) -> Floats:
        """Return the vectors of n events.

        Args:
            event: columns of the contract's fields, shape (n,); times in epoch ms, amounts in minor units.
            groups: of each entity, in the order of the chain: shape (n, features), as of each event.
            profile: shape (n, kp), the columns of the project's batch view.

        Returns:
            Shape (n, f), the columns of the project's service.
        """
        named = {name: profile[:, i] for i, name in enumerate(self._profile)}
        for entity, values in zip(self._entities, groups, strict=True):
            named |= {name: values[:, i] for i, name in enumerate(entity.columns)}
        named |= self.event_features(event)
        named |= self.derived_features(named)
        if not self._service.columns:
            return np.empty((len(next(iter(event.values()))), 0))
        return np.column_stack([named[name] for name in self._service.columns])

    def event_features(self, event: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
        """Return what the event alone says, by its fields as the wire has them; decimals in their unit."""
        codes = {name: one.codes_of(event[name]) for name, one in self._codes.items()}
        found = self._of_event.floats(columns_of_wire(event, self._wire, self._of_event.inputs))
        return found | {name: found[name] / unit for name, unit in self._units.items()} | codes

    def derived_features(self, named: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return what is derived from the other columns of the vector, by name; null is NaN."""
        return self._of_features.floats(named)


class Categories:
    """The codes of one field's values.

    >>> Categories(("web", "app")).codes_of(np.array([b"app", b"", b"fax", b"web"])).tolist()
    [2.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, values: Sequence[str]) -> None:
        texts = np.array([value.encode() for value in values])
        order = np.argsort(texts)
        self._sorted, self._code = texts[order], (order + 1).astype(np.float64)

    def codes_of(self, column: NDArray[np.bytes_]) -> Floats:
        """Return the code of each of n texts."""
        places = np.minimum(np.searchsorted(self._sorted, column), len(self._sorted) - 1)
        return np.where(self._sorted[places] == column, self._code[places], 0.0)


@cache
def vectors_of(project: RunningProject) -> VectorMaker:
    """Return what puts a project's vectors together; it is made once."""
    return VectorMaker(project)
