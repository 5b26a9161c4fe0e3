"""Fill the batch views from the lake: snapshots, definitions, online store, in one process.

It does what `feast apply` and `feast materialize --views ...` do, with the snapshots first. Streamed views
are not read at all here, whereas a plain `feast materialize` reads them from the lake and leaves them alone.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import msgspec
from feast import FeatureStore
from feast.feature_view import DUMMY_ENTITY
from feast.repo_contents import RepoContents
from feast.repo_operations import apply_total_with_repo_instance

from features.project.running import RunningProject
from runtime.run import Run
from streams.store.feast.online_store import RunOnlineStore
from streams.store.feast.repository import declared, open_store
from streams.store.feast.snapshots import newest_event_ms, snapshot_days, write_snapshots


class Materialized(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: by batch view keys by snapshot day, and rows handed to the online store."""

    snapshots: dict[str, dict[str, int]]
    online_rows: dict[str, int]


def apply(store: FeatureStore, run: Run, project: RunningProject) -> None:
    """Register what a project declares, and take away what it declares no longer."""
    found = declared(project, run)
    both = [(view.batch_source, view.stream_source) for view in found.stored]
    contents = RepoContents(
        projects=[],
        data_sources=[*found.requests, *(s for pair in both for s in pair if s)],
        feature_views=found.stored,
        on_demand_feature_views=found.on_demand,
        stream_feature_views=[],
        label_views=[],
        entities=[*found.entities, DUMMY_ENTITY],
        feature_services=found.services,
        permissions=[],
    )
    with _quiet():
        apply_total_with_repo_instance(store, store.project, store.registry, contents, False)


def materialize(
    run: Run, project: RunningProject, end_ms: int | None = None, start: date | None = None
) -> Materialized:
    """Write the missing snapshots up to `end_ms` and put the newest row of each key online.

    Args:
        project: the run's.
        end_ms: event time (epoch ms) up to which the lake is complete; without it the newest event's.
        start: recompute snapshots from this day on, rather than only those that are missing.

    Raises:
        StateError: E_LAKE_EMPTY. ConfigError: as `redis_connection` and `write_snapshots`.
    """
    end_ms = newest_event_ms(project, run.lake) if end_ms is None else end_ms
    snapshots = {
        view.name: write_snapshots(project, view, run.lake, start, end_ms) for view in project.batch_views
    }
    store = open_store(run, project)
    apply(store, run, project)
    end = datetime.fromtimestamp(end_ms / 1000, UTC)
    with _quiet():
        for view in project.batch_views:
            begin = end - timedelta(milliseconds=view.max_age_ms)
            store.materialize(start_date=begin, end_date=end, feature_views=[view.name])
    online = store.provider.online_store
    assert isinstance(online, RunOnlineStore)
    rows = {view.name: online.handed_over[view.name] for view in project.batch_views}
    return Materialized(snapshots=snapshots, online_rows=rows)


def rematerialize(run: Run, project: RunningProject) -> dict[str, int]:
    """Put online again what all snapshots there are say, newest row of each key; return rows by view.

    No snapshot is computed: the store is to hold what it held. A key that is in no recent snapshot keeps the
    row of an older one, as it was.
    """
    handed = dict[str, int]()
    for view in project.batch_views:
        days = snapshot_days(run.lake / view.name)
        handed[view.name] = 0
        if not days:
            continue
        store = open_store(run, project)
        apply(store, run, project)
        begin, end = (datetime.combine(day, time(), UTC) for day in (days[0], days[-1]))
        with _quiet():
            store.materialize(start_date=begin - timedelta(days=1), end_date=end, feature_views=[view.name])
        online = store.provider.online_store
        assert isinstance(online, RunOnlineStore)
        handed[view.name] = online.handed_over[view.name]
    return handed


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Feast's progress lines off our output, and its remark that on-demand views are experimental."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # ibis calls what DuckDB 2.0 renamed
        yield
