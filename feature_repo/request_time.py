"""Values as of a moment, through Feast: on-demand views that finalise from the tiles in the online store.

`customer_now` and `terminal_now` have the streamed features under their own names, as of the request's
`now_ms`: after every row of the key in the log so far, windows ending at that moment. They are in list mode,
since Feast's `singleton` mode answers the first row of a request and silently leaves out the rest.
"""

import inspect
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, cast

import numpy as np
import structlog
from feast import Entity, FeatureService, FeatureView, Field, OnDemandFeatureView, PushSource, RequestSource
from feast.types import Bytes, Float64, Int64, String

from feature_repo.entities import entities
from feature_repo.lake_source import LakeSource
from feature_repo.views import CREATED_TIME, EVENT_TIME, ONLINE_ONLY
from features.catalog import CUSTOMER, TERMINAL
from features.definition import Entity as Declared
from features.feast_tiles import TilesView
from features.finalise import Finaliser

NOW = "now_ms"
SERVICE_NOW = "features_now"

Inputs = dict[str, list[Any]]
Outputs = dict[str, list[float]]


class RequestTime(NamedTuple):
    """What Feast is told for reads as of a moment."""

    moment: RequestSource
    tiles: list[FeatureView]
    now: list[OnDemandFeatureView]
    service: FeatureService


def request_time(lake: Path) -> RequestTime:
    """Return the views of tiles, the on-demand views over them, and a service of all values as of now."""
    moment = RequestSource(name="moment", schema=[Field(name=NOW, dtype=Int64)])
    owners = entities()
    tiles: list[FeatureView] = []
    now: list[OnDemandFeatureView] = []
    for entity, function in ((CUSTOMER, customer_now), (TERMINAL, terminal_now)):
        view = _tiles(entity, owners[entity.join_key], lake)
        tiles.append(view)
        now.append(_on_demand(entity, function, moment, view))
    return RequestTime(moment, tiles, now, FeatureService(name=SERVICE_NOW, features=list(now)))


def customer_now(inputs: dict[str, list[Any]]) -> dict[str, list[float]]:
    """Return a customer's features as of the request's moment, one number a row."""
    # Feast stores this source and runs it on its own, without the names of this module
    from feature_repo.request_time import finalised
    from features.catalog import CUSTOMER

    return finalised(CUSTOMER, inputs)


def terminal_now(inputs: dict[str, list[Any]]) -> dict[str, list[float]]:
    """Return a terminal's features as of the request's moment, one number a row."""
    # Feast stores this source and runs it on its own, without the names of this module
    from feature_repo.request_time import finalised
    from features.catalog import TERMINAL

    return finalised(TERMINAL, inputs)


def finalised(entity: Declared, inputs: Inputs) -> Outputs:
    """Return the entity's features by name; null is NaN.

    A key without tiles has empty windows. One whose tiles cannot be read (other definitions) is null in all,
    and the other rows are answered.

    Args:
        inputs: lists of one length: `now_ms` of the request and the entity's packed states; more is ignored.
    """
    finaliser, lock = _finaliser(entity)
    packed = [state or b"" for state in inputs[TilesView.of(entity).packed]]
    with lock:
        found = finaliser.at(packed, np.array(inputs[NOW], np.int64))
    if found.unreadable.any():
        structlog.get_logger().error(
            "tiles_not_readable", entity=entity.name, rows=int(found.unreadable.sum()),
            next_step="run `headrace rebuild-store` once the stages run this code",
        )  # fmt: skip
    return dict(zip(entity.columns, found.values.T.tolist(), strict=True))


@cache
def _finaliser(entity: Declared) -> tuple[Finaliser, threading.Lock]:
    return Finaliser(entity), threading.Lock()


def _tiles(entity: Declared, owner: Entity, lake: Path) -> FeatureView:
    view = TilesView.of(entity)
    nothing = LakeSource(
        name=f"{view.name}_nothing", path=str(lake / ONLINE_ONLY), timestamp_field=EVENT_TIME,
        created_timestamp_column=CREATED_TIME,
    )  # fmt: skip
    return FeatureView(
        name=view.name,
        entities=[owner],
        ttl=timedelta(milliseconds=entity.longest_ms),
        schema=[
            Field(name=entity.join_key, dtype=String),
            Field(name=view.packed, dtype=Bytes),
            Field(name=view.valid_until_ms, dtype=Int64),
        ],
        source=PushSource(name=f"{view.name}_stream", batch_source=nothing),
    )


def _on_demand(
    entity: Declared, function: Callable[[Inputs], Outputs], moment: RequestSource, tiles: FeatureView
) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name=f"{entity.name}_now",
        sources=[moment, tiles],
        schema=[Field(name=name, dtype=Float64) for name in entity.columns],
        mode="python",
        udf=cast(FunctionType, function),
        udf_string=inspect.getsource(function),
    )
