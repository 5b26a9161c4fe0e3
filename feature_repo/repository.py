"""Open the feature repository of a run from Python, and register what it declares."""

from pathlib import Path

from feast import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, RequestSource
from feast.repo_config import RepoConfig, load_repo_config

from feature_repo.entities import entities
from feature_repo.request_time import request_time
from feature_repo.run_home import RunHome
from feature_repo.services import services
from feature_repo.views import feature_views

FOLDER = Path(__file__).resolve().parent
REGISTRY = "registry.db"

Declared = Entity | FeatureView | RequestSource | OnDemandFeatureView | FeatureService


def declared(home: RunHome) -> list[Declared]:
    """Return every Feast object, each once, with the run's lake behind the views."""
    views = feature_views(home.lake)
    context, service = services(views)
    later = request_time(home.lake)
    requests = context.source_request_sources.values()  # Feast takes away what it is not shown
    of_model: list[Declared] = [*views.values(), *requests, context, service]
    return [*entities().values(), *of_model, *later.tiles, later.moment, *later.now, later.service]


def open_store(home: RunHome) -> FeatureStore:
    """Return the feature store of a run, whatever the environment names."""
    config: RepoConfig = load_repo_config(FOLDER, FOLDER / "feature_store.yaml")
    config.registry.path = str(home.path / REGISTRY)
    config.online_store.home = str(home.path)
    return FeatureStore(config=config)
