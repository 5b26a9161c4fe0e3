"""Open the feature repository of a run from Python, and register what its project declares."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from feast import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, RequestSource
from feast.repo_config import RepoConfig, load_repo_config

from features.project.running import RunningProject
from runtime.run import Run
from streams.store.feast.entities import entities
from streams.store.feast.request_time import RequestTime, request_time
from streams.store.feast.services import ModelService, model_service
from streams.store.feast.views import feature_views

SETTINGS = "feature_store.yaml"
# What a project's file says that has none: all but its name, which the run says.
_DEFAULTS = Path(__file__).with_name("feature_store.yaml")

FeastObject = Entity | FeatureView | RequestSource | OnDemandFeatureView | FeatureService


class FeastRepository(msgspec.Struct, frozen=True, kw_only=True):
    """Every Feast object of a project, with a run's lake behind the views."""

    entities: Sequence[Entity]
    views: Sequence[FeatureView]
    model: ModelService | None
    later: RequestTime

    @property
    def stored(self) -> list[FeatureView]:
        """The views that the online store holds rows of."""
        return [*self.views, *self.later.tiles]

    @property
    def on_demand(self) -> list[OnDemandFeatureView]:
        """The views that are computed when they are asked for."""
        return [*(self.model.on_demand if self.model else []), *self.later.now]

    @property
    def requests(self) -> list[RequestSource]:
        """What a caller says with a request."""
        return [*(self.model.requests if self.model else []), self.later.moment]

    @property
    def services(self) -> list[FeatureService]:
        """The model's service, if there is a model, and that of all values as of now."""
        return [*([self.model.service] if self.model else []), self.later.service]

    @property
    def objects(self) -> list[FeastObject]:
        """All of them, each once; Feast takes away what it is not shown."""
        return [*self.entities, *self.stored, *self.requests, *self.on_demand, *self.services]


def declared(project: RunningProject, run: Run) -> FeastRepository:
    """Return what a project declares, as Feast's objects."""
    views = feature_views(project, run.lake)
    return FeastRepository(
        entities=list(entities(project).values()), views=list(views.values()),
        model=model_service(project, views), later=request_time(project, run.lake),
    )  # fmt: skip


def open_store(run: Run, project: RunningProject) -> FeatureStore:
    """Return the feature store of a project's run, whatever the environment names."""
    folder = project.folder
    own = folder / SETTINGS
    config: RepoConfig = load_repo_config(folder, own if own.is_file() else _DEFAULTS)
    if not own.is_file():
        config.project = run.project
    config.registry.path = str(run.feast_registry)
    config.online_store.home = str(run.home)
    return FeatureStore(config=config)
