"""Batch features as of a moment, by Feast's point-in-time join. The one file here that knows Feast."""

import warnings
from typing import Protocol

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from feast import FeatureStore
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from numpy.typing import NDArray

from contracts.errors import ConfigError
from features.definition import BatchView

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ProfileHistory(Protocol):
    """Where a training set gets batch features from."""

    def as_of(self, view: BatchView, ids: NDArray[np.object_], event_ms: Ints) -> Floats:
        """Return (n, kp) values of the view's columns, each the newest known at its moment."""


class FeastProfileHistory:
    """Feast's offline store over the snapshots in the lake.

    A value counts only when it was also *created* by the moment asked for, so a snapshot computed later is
    never seen by an earlier event; a value older than the view's age limit is null, as it is when served.
    What an event was really served stands in its prediction (`inference.offline.lake.served_profiles`); this
    is for events that have none.

    Args:
        store: of the run, with its registry applied.
    """

    def __init__(self, store: FeatureStore) -> None:
        if not isinstance(store.config.offline_store, DuckDBOfflineStoreConfig):
            raise ConfigError(
                "E_FEAST_OFFLINE", "the file store loses training rows whose features have expired",
                "feature_store.yaml: offline_store", "use type: duckdb",
            )  # fmt: skip
        self._store = store

    def as_of(self, view: BatchView, ids: NDArray[np.object_], event_ms: Ints) -> Floats:
        """Return (n, kp) values of the view's columns; null is NaN."""
        asked = pd.DataFrame(
            {
                view.join_key: ids,
                "event_timestamp": pd.to_datetime(event_ms, unit="ms", utc=True).as_unit("us"),
                "row": np.arange(len(event_ms)),
            }
        )
        with warnings.catch_warnings():
            # Feast's query layer still calls DuckDB by a name that DuckDB 2 has deprecated.
            warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
            joined = self._store.get_historical_features(
                entity_df=asked,
                features=[f"{view.name}:{column}" for column in view.columns],
                filter_by_created_timestamp=True,
            ).to_df()
        found = joined.set_index("row").reindex(np.arange(len(event_ms)))
        return np.asarray(found[list(view.columns)].to_numpy(dtype=np.float64))


class NoProfileHistory:
    """Stands for a lake without snapshots: every batch feature is null, as it was when served."""

    def as_of(self, view: BatchView, ids: NDArray[np.object_], event_ms: Ints) -> Floats:
        """Return (n, kp) nulls."""
        return np.full((len(event_ms), len(view.columns)), np.nan)
