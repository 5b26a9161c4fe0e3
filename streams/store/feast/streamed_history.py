"""The offline side of a streamed view: what a backfill computed, continued by what the stream archived.

A backfill holds every row under this code's definitions up to where the lake was whole; the feature log has
the rows from there on. Without a backfill the log alone is read, as long as it was made under this code's
definitions; otherwise a column would be silently null.
"""

from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import ibis  # type: ignore[import-untyped]
import msgspec
import pyarrow.parquet as pq
from feast import FileSource
from feast.data_source import DataSource
from feast.infra.offline_stores.duckdb import _read_data_source

from contracts.errors import StateError
from features.backfilled import ABOUT, PARTS, Backfilled, folder_name
from features.definition import View
from features.project.running import RunningProject, project_at
from streams.store.feast.entities import KeyedEntity, owners
from streams.store.feast.views import CREATED_TIME, EVENT_TIME, FEATURE_LOG, ONLINE_ONLY

Table = Any  # ibis publishes no types


def read_source(source: DataSource, repo_path: str) -> Table:
    """Return the rows of a source: streamed views as described above, others as Feast reads them.

    Raises:
        StateError: E_LAKE_DEFINITIONS, the log was made under other definitions and there is no backfill;
            E_LAKE_ONLINE_ONLY, tiles have no history.
    """
    assert isinstance(source, FileSource)
    if source.path.endswith(ONLINE_ONLY):
        raise StateError(
            "E_LAKE_ONLINE_ONLY", "tiles are kept online only", source.name,
            "ask the streamed views for history: they hold the values as of each event",
        )  # fmt: skip
    streamed = _streamed_view(project_at(repo_path), source)
    if streamed is None:
        return _read_data_source(source, repo_path)
    lake = Path(source.path.removesuffix(f"/{FEATURE_LOG}"))
    return history(lake, *streamed)


def history(lake: Path, owner: KeyedEntity, view: View) -> Table:
    """Return the view's rows, each once: the key's fields, both timestamps, and the view's features."""
    columns = [*owner.key.fields, EVENT_TIME, CREATED_TIME, *view.columns]
    folder = lake / folder_name(owner.entity)
    about = folder / ABOUT
    if not about.exists():
        _refuse_others(lake, view)
        return ibis.read_parquet(str(lake / FEATURE_LOG)).select(columns)
    done = msgspec.json.decode(about.read_bytes(), type=Backfilled)
    computed = ibis.read_parquet(str(folder / PARTS)).select(columns)
    if next(lake.glob(FEATURE_LOG), None) is None:
        return computed
    log = ibis.read_parquet(str(lake / FEATURE_LOG), hive_partitioning=True, union_by_name=True)
    if not set(columns) <= set(log.columns):
        return computed  # no row has been archived under these definitions yet
    return computed.union(log.filter(_beyond(log, done)).select(columns))


def _streamed_view(project: RunningProject, source: FileSource) -> tuple[KeyedEntity, View] | None:
    if not source.path.endswith(FEATURE_LOG):
        return None
    named = source.name.removesuffix("_log")
    found = ((owner, view) for owner in owners(project).values() for view in owner.entity.views)
    return next(((owner, view) for owner, view in found if view.name == named), None)


def _beyond(log: Table, done: Backfilled) -> Table:
    """Return which rows of the log a backfill does not hold."""
    partition, offset = (log[name] for name in done.by)
    known = partition.isin(list(done.before))
    later = [(partition == number) & (offset >= before) for number, before in done.before.items()]
    return reduce(or_, later, ~known)


def _refuse_others(lake: Path, view: View) -> None:
    for path in lake.glob(FEATURE_LOG):
        missing = set(view.columns) - set(pq.read_schema(path).names)
        if missing:
            raise StateError(
                "E_LAKE_DEFINITIONS", f"rows of the feature log lack {sorted(missing)}", str(path),
                "run `headrace backfill`",
            )  # fmt: skip
