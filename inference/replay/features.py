"""The features of chosen payments from raw events in the order of the log, and profiles from snapshots."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, strings
from features.catalog import CUSTOMER, CUSTOMER_PROFILE, TERMINAL
from features.definition import Entity
from inference.lake.lake import Lake
from inference.verify import lake as verify_lake
from inference.verify.cut import whole
from inference.verify.replay import replay

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_OFFSET_BITS = 40  # of a raw place as one number: partition << 40 | offset


class Recomputed(NamedTuple):
    """What scoring reads of n payments, computed again; `missing` says by row why one could not be, or ""."""

    rows: Columns
    missing: list[str]


def recompute(lake: Lake, predictions: Sequence[dict[str, Any]]) -> Recomputed:
    """Return the rows of predictions' payments as the terminal stage must have written them.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    log, label_log = verify_lake.payments(lake), verify_lake.labels(lake)
    places = _places(log["raw_partition"].to_numpy(), log["raw_offset"].to_numpy())
    sources = [one["source"] for one in predictions]
    wanted = _places(
        np.array([s["partition"] for s in sources]), np.array([s["offset"] for s in sources])
    )  # fmt: skip
    order = np.argsort(places, kind="stable")
    spot = np.minimum(np.searchsorted(places[order], wanted), max(0, len(places) - 1))
    at = order[spot] if len(places) else np.zeros(len(wanted), np.int64)
    logged = places[at] == wanted if len(places) else np.zeros(len(wanted), np.bool_)
    cut = whole(lake, log, label_log)
    ready = logged & cut.customer[at] & cut.terminal[at]
    mine = log.take(pa.array(at[ready]))
    rows, values = _blank(predictions), {}
    for entity in (CUSTOMER, TERMINAL):
        values[entity.name] = _values(lake, entity, log, label_log, mine)
    which = np.flatnonzero(ready)
    facts = values[CUSTOMER.name]
    for name in ("transaction_id", "customer_id", "terminal_id", "event_time", "amount_minor"):
        rows[name] = _placed(rows[name], which, facts[name])
    extra = lake.read("features", ["appended_ms", "traceparent"]).take(pa.array(at[ready]))
    rows["appended_ms"][which] = extra["appended_ms"].to_numpy()
    traces = strings(extra["traceparent"].to_pylist()) if len(which) else rows["traceparent"]
    rows["traceparent"] = _placed(rows["traceparent"], which, traces)
    rows["customer_values"][which] = values[CUSTOMER.name]["values"]
    rows["terminal_values"][which] = values[TERMINAL.name]["values"]
    missing = [
        "" if fine else "its payment is not in the lake's feature log" if not there
        else "something before it in the log is not in the lake yet"
        for fine, there in zip(ready.tolist(), logged.tolist(), strict=True)
    ]  # fmt: skip
    rows["profile_values"], without = _profiles(lake.folder, predictions)
    return Recomputed(rows, [why or more for why, more in zip(missing, without, strict=True)])


def _values(lake: Lake, entity: Entity, log: pa.Table, label_log: pa.Table, mine: pa.Table) -> Columns:
    """Return the raw facts and as-of values of `mine`, in its order, by folding the keys' whole histories."""
    key = entity.join_key
    keys = np.unique(np.array(mine[key].to_pylist(), dtype=np.bytes_))
    history = verify_lake.only_keys(log, key, keys)
    if entity is TERMINAL:
        labels = verify_lake.only_keys(label_log, key, keys)
        rows = verify_lake.kernel_columns(verify_lake.terminal_rows(lake, history, labels))
        payments = np.flatnonzero(rows["kind"] == Kind.PAYMENT)
    else:
        rows = verify_lake.kernel_columns(verify_lake.customer_rows(lake, history))
        payments = np.arange(len(rows["row"]))
    values = replay(lake, entity, rows).values
    by_row = payments[np.argsort(rows["row"][payments], kind="stable")]
    sought = mine["row"].to_numpy()
    found = by_row[np.searchsorted(rows["row"][by_row], sought)]
    return {**{name: column[found] for name, column in rows.items()}, "values": values[found]}


def _blank(predictions: Sequence[dict[str, Any]]) -> Columns:
    count = len(predictions)
    sources = [one["source"] for one in predictions]
    return {
        "raw_partition": np.array([s["partition"] for s in sources], np.int32),
        "raw_offset": np.array([s["offset"] for s in sources], np.int64),
        "appended_ms": np.zeros(count, np.int64), "event_time": np.zeros(count, np.int64),
        "amount_minor": np.zeros(count, np.int64), "transaction_id": np.zeros(count, "S1"),
        "customer_id": np.zeros(count, "S1"), "terminal_id": np.zeros(count, "S1"),
        "traceparent": np.zeros(count, "S1"),
        "customer_values": np.full((count, len(CUSTOMER.columns)), np.nan),
        "terminal_values": np.full((count, len(TERMINAL.columns)), np.nan),
    }  # fmt: skip


def _placed(column: NDArray[Any], which: Ints, values: NDArray[Any]) -> NDArray[Any]:
    """Return the column with values at some rows, as wide as the wider of the two."""
    wide = np.promote_types(column.dtype, values.dtype) if len(which) else column.dtype
    placed = column.astype(wide)
    placed[which] = values
    return placed


def _profiles(lake: Path, predictions: Sequence[dict[str, Any]]) -> tuple[Floats, list[str]]:
    """Return the profiles that were served, out of their snapshots, and why one could not be had, or ""."""
    values = np.full((len(predictions), len(CUSTOMER_PROFILE.columns)), np.nan)
    missing = [""] * len(predictions)
    by_day: dict[str, list[int]] = {}
    for at, one in enumerate(predictions):
        group = one["features"]["groups"].get("profile", {})
        if group.get("age_ms") is not None:
            moment = datetime.fromtimestamp((one["event_time"] - group["age_ms"]) / 1000, UTC)
            by_day.setdefault(moment.date().isoformat(), []).append(at)
    for day, places in by_day.items():
        path = lake / CUSTOMER_PROFILE.name / f"snapshot={day}.parquet"
        if not path.exists():
            for at in places:
                missing[at] = f"the lake has no profile snapshot of {day}"
            continue
        sought = pa.array([predictions[at]["customer_id"] for at in places])
        table = pq.read_table(path, partitioning=None)
        spots = pc.index_in(sought, value_set=table[CUSTOMER_PROFILE.join_key].combine_chunks())
        stored = np.column_stack(
            [table[name].combine_chunks().fill_null(np.nan).to_numpy() for name in CUSTOMER_PROFILE.columns]
        )
        for at, spot in zip(places, spots.to_pylist(), strict=True):
            if spot is None:
                missing[at] = f"the profile snapshot of {day} has no such customer"
            else:
                values[at] = stored[spot]
    return values, missing


def _places(partition: NDArray[Any], offset: NDArray[Any]) -> Ints:
    return (partition.astype(np.int64) << _OFFSET_BITS) | offset.astype(np.int64)
