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

from feature_repo.customer_profile import newest_payment_ms, snapshot_days, write_snapshots
from feature_repo.entities import entities
from feature_repo.online_store import RunOnlineStore
from feature_repo.repository import open_store
from feature_repo.request_time import request_time
from feature_repo.run_home import RunHome
from feature_repo.services import services
from feature_repo.views import BATCH_VIEWS, feature_views


class Materialized(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: customers by snapshot day, and rows handed to the online store by view."""

    snapshots: dict[str, int]
    online_rows: dict[str, int]


def apply(store: FeatureStore, home: RunHome) -> None:
    """Register what the repository declares, and take away what it declares no longer."""
    views = feature_views(home.lake)
    context, service = services(views)
    later = request_time(home.lake)
    stored = [*views.values(), *later.tiles]
    both = [(view.batch_source, view.stream_source) for view in stored]
    requests = [*context.source_request_sources.values(), later.moment]
    contents = RepoContents(
        projects=[],
        data_sources=[*requests, *(s for pair in both for s in pair if s)],
        feature_views=stored,
        on_demand_feature_views=[context, *later.now],
        stream_feature_views=[],
        label_views=[],
        entities=[*entities().values(), DUMMY_ENTITY],
        feature_services=[service, later.service],
        permissions=[],
    )
    with _quiet():
        apply_total_with_repo_instance(store, store.project, store.registry, contents, False)


def materialize(home: RunHome, end_ms: int | None = None, start: date | None = None) -> Materialized:
    """Write the missing snapshots up to `end_ms` and put the newest row of each key online.

    Args:
        end_ms: event time (epoch ms) up to which the lake is complete; without it the newest payment's.
        start: recompute snapshots from this day on, rather than only those that are missing.

    Raises:
        StateError: E_LAKE_EMPTY. ConfigError: as `RunHome` and `write_snapshots`.
    """
    end_ms = newest_payment_ms(home.lake) if end_ms is None else end_ms
    snapshots = write_snapshots(home.lake, start, end_ms)
    store = open_store(home)
    apply(store, home)
    end = datetime.fromtimestamp(end_ms / 1000, UTC)
    with _quiet():
        for view in BATCH_VIEWS:
            begin = end - timedelta(milliseconds=view.max_age_ms)
            store.materialize(start_date=begin, end_date=end, feature_views=[view.name])
    online = store.provider.online_store
    assert isinstance(online, RunOnlineStore)
    rows = {view.name: online.handed_over[view.name] for view in BATCH_VIEWS}
    return Materialized(snapshots=snapshots, online_rows=rows)


def rematerialize(home: RunHome) -> dict[str, int]:
    """Put online again what all snapshots there are say, newest row of each key; return rows by view.

    No snapshot is computed: the store is to hold what it held. A customer who is in no recent snapshot keeps
    the row of an older one, as it was.
    """
    handed: dict[str, int] = {}
    for view in BATCH_VIEWS:
        days = snapshot_days(home.lake / view.name)
        handed[view.name] = 0
        if not days:
            continue
        store = open_store(home)
        apply(store, home)
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
