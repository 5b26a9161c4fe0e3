"""Feast's feature views: streamed ones, which the stream writes, and batch ones, which Feast materialises.

The offline side of every view is the lake: streamed views read the feature log, which has each feature as of
each payment, batch views the snapshots that `customer_profile` computes.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureView, Field, PushSource
from feast.types import Float64, String

from feature_repo.entities import entities
from feature_repo.lake_source import LakeSource
from features.catalog import CUSTOMER_PROFILE, ENTITIES
from features.definition import BatchView, View
from features.definition import Entity as Declared
from features.feast_format import refuse_collisions
from features.feast_tiles import TilesView

EVENT_TIME, CREATED_TIME = "event_timestamp", "created_timestamp"
FEATURE_LOG = "features/**/*.parquet"
ONLINE_ONLY = "online-only/*.parquet"  # there are none: history has the values themselves
BATCH_VIEWS = (CUSTOMER_PROFILE,)


def feature_views(lake: Path) -> dict[str, FeatureView]:
    """Return all feature views by name.

    Raises:
        ConfigError: E_FEATURE_COLLISION, two features of one entity would share a field of the store.
    """
    owners = entities()
    streamed = [streamed_view(view, e, owners[e.join_key], lake) for e in ENTITIES for view in e.views]
    batch = [_batch(view, owners[view.join_key], lake) for view in BATCH_VIEWS]
    for owner in owners.values():
        mine = [view for view in (*streamed, *batch) if view.entities == [owner.name]]
        tiles = [TilesView.of(e).fields for e in ENTITIES if e.name == owner.name]
        refuse_collisions([*((view.name, [f.name for f in view.features]) for view in mine), *tiles])
    return {view.name: view for view in (*streamed, *batch)}


def streamed_view(view: View, entity: Declared, owner: Entity, lake: Path) -> FeatureView:
    """Return the feature view that the stream writes, with a float for every column."""
    log = _lake_source(f"{view.name}_log", lake / FEATURE_LOG)
    return FeatureView(
        name=view.name,
        entities=[owner],
        # Feast keeps rows for ever at 0
        ttl=timedelta(milliseconds=0 if entity.lasting else entity.longest_ms),
        schema=_schema(entity.join_key, view.columns),
        source=PushSource(name=f"{view.name}_stream", batch_source=log),
    )


def _batch(view: BatchView, owner: Entity, lake: Path) -> FeatureView:
    return FeatureView(
        name=view.name,
        entities=[owner],
        ttl=timedelta(milliseconds=view.max_age_ms),
        schema=_schema(view.join_key, view.columns),
        source=_lake_source(f"{view.name}_snapshots", lake / view.name / "*.parquet"),
    )


def _schema(join_key: str, columns: tuple[str, ...]) -> list[Field]:
    return [Field(name=join_key, dtype=String), *(Field(name=name, dtype=Float64) for name in columns)]


def _lake_source(name: str, files: Path) -> LakeSource:
    return LakeSource(
        name=name, path=str(files), timestamp_field=EVENT_TIME, created_timestamp_column=CREATED_TIME
    )
