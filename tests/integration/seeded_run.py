"""Payments sent as a producer sends them, and what one run that never ended would have said of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import orjson
from confluent_kafka import Producer

from contracts import topics
from contracts.connections import KafkaConnection
from contracts.frame import Columns, Kind, strings
from contracts.keys import partition_of
from features.definition import Entity
from features.state import EntityState
from inference.offline.lake.lake import Lake
from load.oracle.windows import PartitionOracle
from load.this_project import CUSTOMER, PIPELINE, TERMINAL
from streams.stage.entity_rows import latest_rows
from streams.store.rows import StoreRows, concat_rows

_EVENT = ("transaction_id", "customer_id", "terminal_id", "event_time")


def send(kafka: KafkaConnection, prefix: str, payments: Columns, labels: Columns) -> None:
    """Send raw payments by customer, then labels by transaction, in their order."""
    producer = Producer({**kafka.librdkafka(), "enable.idempotence": True})
    paid = [{name: row[name] for name in (*_EVENT, "amount_minor")} for row in dicts(payments)]
    _produce(
        producer, PIPELINE.scored.records, prefix, "customer_id", [{**row, "currency": "EUR"} for row in paid]
    )
    told = [
        {name: row[name] for name in (*_EVENT, "label_time")}
        | {"label": "fraud" if row["label"] else "legitimate", "source": "chargeback"}
        for row in dicts(labels)
    ]  # fmt: skip
    _produce(producer, PIPELINE.labels[0].records, prefix, "transaction_id", told)
    assert producer.flush(30) == 0


def _produce(
    producer: Producer, topic: topics.Topic, prefix: str, key: str, events: Sequence[dict[str, object]]
) -> None:
    if not events:
        return
    targets = partition_of(strings([str(event[key]) for event in events]), topic.partitions).tolist()
    for event, target in zip(events, targets, strict=True):
        name = str(event[key]).encode()
        producer.produce(topic.full_name(prefix), orjson.dumps(event), key=name, partition=target)
        producer.poll(0)


def dicts(rows: Columns) -> list[dict[str, object]]:
    """Return rows as plain values."""
    lists = [
        [text.decode() for text in column.tolist()] if column.dtype.kind == "S" else column.tolist()
        for column in rows.values()
    ]
    return [dict(zip(rows, row, strict=True)) for row in zip(*lists, strict=True)]


def history(lakes: Sequence[Lake], entity: Entity) -> dict[int, list[tuple[int, dict[str, object]]]]:
    """Return by partition of the entity's stage its rows (kind, row), lake after lake, in log order."""
    found: dict[int, list[tuple[int, dict[str, object]]]] = {}
    for lake in lakes:
        placed: list[tuple[int, int, int, dict[str, object]]] = []
        for dataset, kind, name in _datasets(entity):
            if lake.has(dataset):
                rows = lake.read(dataset).to_pylist()
                placed += [(row[name], row[f"{entity.name}_pos"], int(kind), row) for row in rows]
        for partition, _, kind, row in sorted(placed, key=lambda one: one[:2]):
            found.setdefault(partition, []).append((kind, row))
    return found


def _datasets(entity: Entity) -> Iterator[tuple[str, Kind, str]]:
    yield "features", Kind.SCORED, f"{entity.name}_partition"
    if entity is TERMINAL:
        yield "label_log", Kind.LABEL, "partition"


def rows_differing(lakes: Sequence[Lake], entity: Entity) -> tuple[int, int]:
    """Return how many rows of the lakes' logs there are, and how many say otherwise than the definition.

    The definition sees the rows of all lakes as those of one run.
    """
    count = wrong = 0
    for rows in history(lakes, entity).values():
        oracle = PartitionOracle(entity)
        for kind, row in rows:
            plain = {name: v.encode() if isinstance(v, str) else v for name, v in row.items()}
            expected = np.array(oracle.row(kind, plain))
            logged = np.array([row[name] for name in entity.columns], np.float64)
            same = (expected.view(np.uint64) == logged.view(np.uint64)) | (
                np.isnan(expected) & np.isnan(logged)
            )
            count, wrong = count + 1, wrong + int(not same.all())
    return count, wrong


def newest_rows(old: Lake, new: Lake) -> dict[str, StoreRows]:
    """Return what the online store must hold: every key's newest row, at 0 where the new run has none."""
    found = {}
    for entity in (CUSTOMER, TERMINAL):
        parts = []
        for rows in history([old, new], entity).values():
            state = EntityState(entity)
            own = 0
            for kind, row in rows:
                state.apply(_columns(entity, row, pos=own), kind)
            parts.append(latest_rows(state, tiles=False))
        found[entity.name] = concat_rows(parts)
    positions = _positions(new)
    return {
        name: rows._replace(
            positions=np.array([positions[name].get(key, 0) for key in rows.keys.tolist()], np.int64)
        )
        for name, rows in found.items()
    }


def _positions(lake: Lake) -> dict[str, dict[bytes, int]]:
    """Return by entity and key the position of its last row in a lake's log."""
    found: dict[str, dict[bytes, int]] = {"customer": {}, "terminal": {}}
    for entity in (CUSTOMER, TERMINAL):
        for rows in history([lake], entity).values():
            for _, row in rows:
                found[entity.name][str(row[entity.join_key]).encode()] = int(str(row[f"{entity.name}_pos"]))
    return found


def _columns(entity: Entity, row: dict[str, object], pos: int) -> Columns:
    names = [n for v in entity.views for n in v.reads if n in row]
    columns: Columns = {"pos": np.array([pos])}
    for name in dict.fromkeys([entity.join_key, *names]):
        value = row[name]
        columns[name] = strings([value]) if isinstance(value, str) else np.array([value])
    return columns
