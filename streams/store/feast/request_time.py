"""Values as of a moment, through Feast: on-demand views that finalise from the tiles in the online store.

`<entity>_now` has the entity's streamed features under their own names, as of the request's `now_ms`: after
every row of the key in the log so far, windows ending at that moment. They are in list mode, since Feast's
`singleton` mode answers the first row of a request and silently leaves out the rest.
"""

import threading
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
from feast import FeatureService, FeatureView, Field, OnDemandFeatureView, PushSource, RequestSource
from feast.types import Bytes, Float64, Int64

from features.definition import Entity as Declared
from features.feast_tiles import TilesView
from features.finalise import Finaliser
from features.project.running import RunningProject, project_at
from streams.store.feast.entities import KeyedEntity, owners
from streams.store.feast.feast_calls import Inputs, Outputs, StoredFeature, is_sample, named, stored_function
from streams.store.feast.views import ONLINE_ONLY, lake_source

NOW = "now_ms"
SERVICE_NOW = "features_now"


class RequestTime(NamedTuple):
    """What Feast is told for reads as of a moment."""

    moment: RequestSource
    tiles: list[FeatureView]
    now: list[OnDemandFeatureView]
    service: FeatureService


def request_time(project: RunningProject, lake: Path) -> RequestTime:
    """Return the views of tiles, the on-demand views over them, and a service of all values as of now."""
    moment = RequestSource(name="moment", schema=[Field(name=NOW, dtype=Int64)])
    tiles: list[FeatureView] = []
    now: list[OnDemandFeatureView] = []
    for owner in owners(project).values():
        view = _tiles(owner, lake)
        tiles.append(view)
        now.append(_on_demand(project, owner.entity, moment, view))
    return RequestTime(moment, tiles, now, FeatureService(name=SERVICE_NOW, features=list(now)))


def finalised_at(folder: str, entity: str, inputs: Inputs) -> Outputs:
    """Return as `finalised`, of an entity of the project of a folder."""
    owner = owners(project_at(folder))[entity]
    return finalised(owner.entity, owner.key.fields[0], inputs)


def finalised(entity: Declared, join_key: str, inputs: Inputs) -> Outputs:
    """Return the entity's features by name; null is NaN.

    A key without tiles has empty windows. One whose tiles cannot be read (other definitions) is null in all,
    and the other rows are answered.

    Args:
        join_key: a field of the entity's key.
        inputs: lists of one length: `now_ms` of the request and the entity's packed states; more is ignored.
    """
    finaliser, lock = _finaliser(entity)
    view = TilesView.of(entity)
    packed = [state or b"" for state in inputs[view.packed]]
    with lock:
        found = finaliser.at(packed, np.array(inputs[NOW], np.int64))
    source = StoredFeature(view.name, view.packed, join_key)
    if found.unreadable.any() and not is_sample(inputs, source):
        structlog.get_logger().error(
            "tiles_not_readable", entity=entity.name, rows=int(found.unreadable.sum()),
            next_step="run `headrace rebuild-store` once the stages run this code",
        )  # fmt: skip
    outputs = dict(zip(entity.columns, found.values.T.tolist(), strict=True))
    return named(outputs, now_name(entity), inputs, source)


def now_name(entity: Declared) -> str:
    """Return what Feast calls the view of an entity's features as of a moment."""
    return f"{entity.name}_now"


@cache
def _finaliser(entity: Declared) -> tuple[Finaliser, threading.Lock]:
    return Finaliser(entity), threading.Lock()


def _tiles(owner: KeyedEntity, lake: Path) -> FeatureView:
    view, entity = TilesView.of(owner.entity), owner.entity
    return FeatureView(
        name=view.name,
        entities=owner.entities,
        ttl=timedelta(milliseconds=0 if entity.lasting else entity.longest_ms),
        schema=[
            *owner.schema,
            Field(name=view.packed, dtype=Bytes),
            Field(name=view.valid_until_ms, dtype=Int64),
        ],
        source=PushSource(
            name=f"{view.name}_stream", batch_source=lake_source(f"{view.name}_nothing", lake / ONLINE_ONLY)
        ),
    )


def _on_demand(
    project: RunningProject, entity: Declared, moment: RequestSource, tiles: FeatureView
) -> OnDemandFeatureView:
    function, source = stored_function(
        now_name(entity), f"{__name__}.{finalised_at.__name__}", str(project.folder), entity.name
    )
    return OnDemandFeatureView(
        name=now_name(entity),
        sources=[moment, tiles],
        schema=[Field(name=column, dtype=Float64) for column in entity.columns],
        mode="python",
        udf=function,
        udf_string=source,
    )
