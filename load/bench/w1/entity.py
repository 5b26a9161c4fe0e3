"""W1 as an entity: twelve features, three levels of tiles, and the stage that keeps them."""

from collections.abc import Callable

from contracts.frame import Kind
from features.aggregations import Aggregation, Count, Max, Mean, Sum
from features.definition import HOUR_MS, MINUTE_MS, Entity, Feature, View, Window
from load.bench.w1.json_rows import JsonWriter
from load.this_project import PIPELINE, PROJECT
from streams.stage.definition import Stage
from streams.stage.entity_stage import EntityStage

WINDOWS = (
    Window.of(hours=1, hop_ms=MINUTE_MS),
    Window.of(hours=24, hop_ms=30 * MINUTE_MS),
    Window.of(days=7, hop_ms=3 * HOUR_MS),
)
AGGREGATIONS: tuple[Callable[[], Aggregation], ...] = (Count, Sum, Mean, Max)


def entity(windows: tuple[Window, ...] = WINDOWS) -> Entity:
    """Return the customer with W1's features over some windows, window after window.

    >>> entity().columns[:5]
    ('count_1h', 'sum_1h', 'mean_1h', 'max_1h', 'count_24h')
    """
    features = tuple(
        Feature(name=f"{made.name}_{window.label}", aggregation=made, window=window)
        for window in windows
        for made in (new() for new in AGGREGATIONS)
    )
    view = View(name="w1", rows=Kind.SCORED, measure="amount_minor", time="event_time", features=features)
    return Entity(name="customer", join_key="customer_id", views=(view,))


def stage(windows: tuple[Window, ...] = WINDOWS, *, json: bool = False) -> Stage:
    """Return the customer stage with W1's windows and no online store.

    Args:
        windows: of the entity.
        json: send one JSON record an event instead of record batches.
    """
    declared = entity(windows)
    made = Stage(
        project=PROJECT, name="customer", entity=declared,
        source=PIPELINE.stage_inputs["customer"], output=PIPELINE.stage_inputs["terminal"],
        changelog=PIPELINE.changelogs["customer"],
        rows=lambda entity, partition, outputs: EntityStage(PIPELINE, entity, partition, outputs),
        online=False,
    )  # fmt: skip
    if not json:
        return made
    return made._replace(writer=lambda src, base: JsonWriter(src, base, declared.columns))
