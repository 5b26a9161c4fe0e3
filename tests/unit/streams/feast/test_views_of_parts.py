"""Feast and the row codec take the columns of every aggregation, the last k values among them."""

from datetime import timedelta
from pathlib import Path

import numpy as np
from feast import Entity as FeastEntity
from feast import ValueType
from feast.types import Float64

from contracts.frame import Kind, strings
from features.aggregations import DecayedSum, LastK, Quantile, SinceFirst
from features.definition import DAY_MS, Entity, Feature, View, Window
from features.feast_key import text_key
from features.feast_row import RowWriterCodec
from features.meaning import meaning_of
from features.state import EntityState
from streams.store.feast.entities import KeyedEntity
from streams.store.feast.views import streamed_view

FEATURES = (
    Feature(name="card_amounts", aggregation=LastK(k=3)),
    Feature(name="card_amount_median_7d", aggregation=Quantile(per_mille=500), window=Window.of(days=7)),
    Feature(name="card_amount_decayed", aggregation=DecayedSum(half_life_ms=DAY_MS)),
)
AGE = Feature(name="card_age", aggregation=SinceFirst(), window=Window.lifetime())


def entity(*features: Feature) -> Entity:
    view = View(
        name="card_payments", rows=Kind.SCORED, measure="amount_minor", time="event_time", features=features
    )
    return Entity(name="card", join_key="customer_id", views=(view,))


def owner(declared: Entity) -> KeyedEntity:
    card = FeastEntity(name="card", join_keys=["customer_id"], value_type=ValueType.STRING)
    return KeyedEntity(declared, text_key("customer_id"), [card])


def test_a_feast_view_has_a_float_for_every_column():
    declared = entity(*FEATURES)
    view = streamed_view(declared.views[0], owner(declared), Path("lake"))
    assert [(f.name, f.dtype) for f in view.features] == [
        ("card_amounts_1", Float64), ("card_amounts_2", Float64), ("card_amounts_3", Float64),
        ("card_amount_median_7d", Float64), ("card_amount_decayed", Float64),
    ]  # fmt: skip
    assert view.ttl == timedelta(days=20)


def test_feast_keeps_rows_with_a_lifetime_for_ever():
    declared = entity(*FEATURES, AGE)
    assert streamed_view(declared.views[0], owner(declared), Path("lake")).ttl == timedelta(0)


def test_the_row_codec_writes_every_column():
    declared = entity(*FEATURES, AGE)
    keys = strings(["c1", "c2"])
    applied = EntityState(declared).apply(
        {
            "pos": np.arange(2), "customer_id": keys, "event_time": np.array([1_000, 2_000]),
            "amount_minor": np.array([500, 700]),
        },
        Kind.SCORED,
    )  # fmt: skip
    codec = RowWriterCodec("hr", "customer_id", [(v.name, v.columns) for v in declared.views])
    data = codec.encode(keys, applied.values, applied.as_of_ms, np.arange(2), epoch=1)
    assert applied.values.shape == (2, len(declared.columns)) == (2, 6)
    assert data.count(b"EVALSHA") == codec.calls(2)


def test_each_column_of_the_last_k_has_a_meaning_of_its_own_name():
    alone, beside = meaning_of(entity(*FEATURES)), meaning_of(entity(*FEATURES, AGE))
    assert alone.columns == entity(*FEATURES).columns
    changed = {name for name in alone.columns if alone.features[name] != beside.features[name]}
    assert {"card_amounts_1", "card_amounts_2", "card_amounts_3"} <= changed  # they are kept for ever now
    assert "card_amount_median_7d" not in changed
