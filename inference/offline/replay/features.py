"""The features of chosen events from raw records in the order of the log, and profiles from snapshots."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.frame import Columns, concat, take
from contracts.keys import key_of
from contracts.pipeline import SCORED, SourceStream
from features.definition import Entity
from inference.offline.fold.fold import fold
from inference.offline.fold.ordered import Selection, column_of, placed
from inference.offline.fold.rows import PLACE, is_whole
from inference.offline.lake.lake import Lake
from inference.offline.lake.places import places
from inference.offline.lake.raw_records import raw_batch, said_of
from inference.offline.lake.sql import register
from inference.offline.verify import lake as verify_lake
from inference.offline.verify.cut import whole

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_RAW = """
SELECT raw."partition", raw."offset", raw.appended_ms, raw."key", raw."value"
FROM raw JOIN asked ON asked."partition" = raw."partition" AND asked."offset" = raw."offset"
"""


class Recomputed(NamedTuple):
    """What scoring reads of n events, computed again; `missing` says by row why one could not be, or ""."""

    rows: Columns
    missing: list[str]


def recompute(lake: Lake, predictions: Sequence[dict[str, Any]]) -> Recomputed:
    """Return the rows of predictions' events as the last stage must have written them.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    logs = verify_lake.logs(lake)
    cut, log = whole(lake, logs), logs[SCORED]
    logged_at = places(log["raw_partition"].to_numpy(), log["raw_offset"].to_numpy())
    rows = _blank(lake, predictions)
    wanted = places(rows["raw_partition"], rows["raw_offset"])
    at = _index_of(wanted, logged_at)
    ready = at >= 0
    ready[ready] = cut.everywhere[at[ready]]
    missing = [
        "" if fine else "its event is not in the lake's feature log" if spot < 0
        else "something before it in the log is not in the lake yet"
        for fine, spot in zip(ready.tolist(), at.tolist(), strict=True)
    ]  # fmt: skip
    facts, there = _facts(lake, at[ready], wanted[ready])
    which = np.flatnonzero(ready)
    for row in which[~there].tolist():
        missing[row] = "its raw record is not in the lake"
    for name, column in facts.items():
        rows[name] = placed(rows[name], which, column)
    for entity in lake.project.entities:
        answer = _answers(lake, entity, take(facts, there), wanted[ready][there])
        rows[f"{entity.name}_values"][which[there]] = answer
    rows["profile_values"], without = _profiles(lake, predictions)
    return Recomputed(rows, [why or more for why, more in zip(missing, without, strict=True)])


def _facts(lake: Lake, at: Ints, wanted: Ints) -> tuple[Columns, NDArray[np.bool_]]:
    """Return what is known of n events of the log, and of which the raw record is there (n,).

    Args:
        at: their rows in the log; wanted: their places in the topic.
    """
    source = lake.project.pipeline.scored
    names = [*source.names, "traceparent", "appended_ms"]
    table = lake.read(lake.project.pipeline.log_dataset(source), [*names, *PLACE]).take(pa.array(at))
    found = {name: column_of(table[name].combine_chunks()) for name in names}
    raw = _raw_of(lake, source, table)
    said = said_of(source, raw_batch(raw))
    raw_at = places(raw["partition"].to_numpy(), raw["offset"].to_numpy())
    rows = _index_of(raw_at[said.good_index], wanted)
    for name in set(source.names) - source.hashed:
        found[name] = placed(found[name], rows, said.good[name])
    return found, np.isin(wanted, raw_at)


def _raw_of(lake: Lake, source: SourceStream, rows: pa.Table) -> pa.Table:
    asked = pa.table({"partition": rows["raw_partition"], "offset": rows["raw_offset"]})
    with duckdb.connect() as database:
        kinds = {"appended_ms": pa.int64(), "key": pa.binary(), "value": pa.binary()}
        register(database, lake, source.topic, "raw", kinds)
        database.register("asked", asked)
        return database.sql(_RAW).to_arrow_table()


def _answers(lake: Lake, entity: Entity, events: Columns, wanted: Ints) -> Floats:
    """Return as-of values of n events by folding their keys' whole histories; null where there is no key.

    Args:
        wanted: their places in the topic.
    """
    values = np.full((len(wanted), len(entity.columns)), np.nan)
    keys = key_of(events, lake.project.pipeline.chain.named(entity.name).fields)
    keyed = np.flatnonzero(keys != b"")
    if not len(keyed):
        return values
    asked = Selection(entity=entity, keys=np.unique(keys[keyed]).tolist(), is_raw=True)
    parts: list[Columns] = [{"place": np.empty(0, np.int64), "values": values[:0]}]
    for folded in fold(lake, asked):
        columns = folded.rows.columns
        at = places(columns["raw_partition"], columns["raw_offset"])
        found = {"place": at, "values": folded.applied.values}
        parts.append(take(found, (columns["kind"] == SCORED) & np.isin(at, wanted)))
    answers = concat(parts)
    spots = _index_of(wanted, answers["place"])
    values[spots >= 0] = answers["values"][spots[spots >= 0]]
    return values


def _index_of(wanted: Ints, among: Ints) -> Ints:
    """Return where each number stands among others, -1 where it does not.

    >>> _index_of(np.array([7, 5]), np.array([9, 7])).tolist()
    [1, -1]
    """
    order = np.argsort(among, kind="stable")
    spots = np.searchsorted(among[order], wanted)
    found = np.full(len(wanted), -1, np.int64)
    inside = np.flatnonzero(spots < len(among))
    candidates = order[spots[inside]]
    found[inside] = np.where(among[candidates] == wanted[inside], candidates, -1)
    return found


def _blank(lake: Lake, predictions: Sequence[dict[str, Any]]) -> Columns:
    count, pipeline = len(predictions), lake.project.pipeline
    sources = [one["source"] for one in predictions]
    texts = [name for name in pipeline.scored.names if not is_whole(pipeline, name)]
    return {
        "raw_partition": np.array([s["partition"] for s in sources], np.int32),
        "raw_offset": np.array([s["offset"] for s in sources], np.int64),
        "appended_ms": np.zeros(count, np.int64),
        **{name: np.zeros(count, "S1" if name in texts else np.int64) for name in pipeline.scored.names},
        "traceparent": np.zeros(count, "S1"),
        **{f"{e.name}_values": np.full((count, len(e.columns)), np.nan) for e in lake.project.entities},
    }  # fmt: skip


def _profiles(lake: Lake, predictions: Sequence[dict[str, Any]]) -> tuple[Floats, list[str]]:
    """Return the profiles that were served, out of their snapshots, and why one could not be had, or ""."""
    view, event = lake.project.profile, lake.project.event
    values = np.full((len(predictions), len(view.columns)), np.nan)
    missing = [""] * len(predictions)
    by_day: dict[str, list[int]] = {}
    for at, one in enumerate(predictions):
        group = one["features"]["groups"].get("profile", {})
        if group.get("age_ms") is not None:
            moment = datetime.fromtimestamp((one["event_time"] - group["age_ms"]) / 1000, UTC)
            by_day.setdefault(moment.date().isoformat(), []).append(at)
    for day, wanted in by_day.items():
        path = lake.folder / view.name / f"snapshot={day}.parquet"
        if not path.exists():
            for at in wanted:
                missing[at] = f"the lake has no profile snapshot of {day}"
            continue
        sought = pa.array([event.fields_said(predictions[at])[view.join_key] for at in wanted])
        table = pq.read_table(path, partitioning=None)
        spots = pc.index_in(sought, value_set=table[view.join_key].combine_chunks())
        stored = np.column_stack(
            [table[name].combine_chunks().fill_null(np.nan).to_numpy() for name in view.columns]
        )
        for at, spot in zip(wanted, spots.to_pylist(), strict=True):
            if spot is None:
                missing[at] = f"the profile snapshot of {day} has no such key"
            else:
                values[at] = stored[spot]
    return values, missing
