"""Feast's feature views: streamed ones, which the stream writes, and batch ones, which Feast materialises.

The offline side of every view is the lake: streamed views read the feature log, which has each feature as of
each scored event, batch views the snapshots that their SQL computes.
"""

from datetime import timedelta
from pathlib import Path

from feast import FeatureView, Field, PushSource
from feast.types import Float64

from features.definition import BatchView, View
from features.feast_format import refuse_collisions
from features.feast_tiles import TilesView
from features.project.running import RunningProject
from streams.store.feast.entities import KeyedEntity, owner_of, owners
from streams.store.feast.lake_source import LakeSource

EVENT_TIME, CREATED_TIME = "event_timestamp", "created_timestamp"
FEATURE_LOG = "features/**/*.parquet"
ONLINE_ONLY = "online-only/*.parquet"  # there are none: history has the values themselves


def feature_views(project: RunningProject, lake: Path) -> dict[str, FeatureView]:
    """Return all feature views by name: one a declared view.

    Raises:
        ConfigError: E_FEATURE_COLLISION, two features of one entity would share a field of the store.
    """
    found: list[FeatureView] = []
    for owner in owners(project).values():
        streamed = [streamed_view(view, owner, lake) for view in owner.entity.views]
        batch = [batch_feature_view(view, owner, lake) for view in batch_views_of(project, owner)]
        mine = [*streamed, *batch]
        names = [(view.name, [f.name for f in view.features]) for view in mine]
        refuse_collisions([*names, TilesView.of(owner.entity).fields])
        found += mine
    return {view.name: view for view in found}


def batch_views_of(project: RunningProject, owner: KeyedEntity) -> list[BatchView]:
    """Return the batch views of an entity."""
    return [view for view in project.batch_views if owner_of(project, view.join_key).entity == owner.entity]


def streamed_view(view: View, owner: KeyedEntity, lake: Path) -> FeatureView:
    """Return the feature view that the stream writes, with a float for every column."""
    log = lake_source(f"{view.name}_log", lake / FEATURE_LOG)
    entity = owner.entity
    return FeatureView(
        name=view.name,
        entities=owner.entities,
        # Feast keeps rows for ever at 0
        ttl=timedelta(milliseconds=0 if entity.lasting else entity.longest_ms),
        schema=_schema(owner, view.columns),
        source=PushSource(name=f"{view.name}_stream", batch_source=log),
    )


def batch_feature_view(view: BatchView, owner: KeyedEntity, lake: Path) -> FeatureView:
    """Return the feature view that `feast materialize` fills from snapshots."""
    return FeatureView(
        name=view.name,
        entities=owner.entities,
        ttl=timedelta(milliseconds=view.max_age_ms),
        schema=_schema(owner, view.columns),
        source=lake_source(snapshots_of(view), lake / view.name / "*.parquet"),
    )


def snapshots_of(view: BatchView) -> str:
    """Return what Feast calls the source of a batch view."""
    return f"{view.name}_snapshots"


def lake_source(name: str, files: Path) -> LakeSource:
    """Return a dataset of the lake as a source."""
    return LakeSource(
        name=name, path=str(files), timestamp_field=EVENT_TIME, created_timestamp_column=CREATED_TIME
    )


def _schema(owner: KeyedEntity, columns: tuple[str, ...]) -> list[Field]:
    return [*owner.schema, *(Field(name=name, dtype=Float64) for name in columns)]
