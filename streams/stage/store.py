"""Where one stage's rows go in the online store, made of its definition and settings."""

from features.feast_row import RowWriterCodec
from features.feast_tiles import TilesView
from streams.stage.definition import StageDefinition
from streams.stage.settings import StageSettings
from streams.store.sentinel import Sentinel
from streams.store.writer import StoreTarget


def store_target(definition: StageDefinition, settings: StageSettings) -> StoreTarget:
    """Return server, codec, sentinel and epoch of a stage's rows."""
    views = [(view.name, view.columns) for view in definition.entity.views]
    tiles = TilesView.of(definition.entity)
    kept, dropped = (tiles, None) if definition.tiles else (None, tiles)
    return StoreTarget(
        settings.redis,
        RowWriterCodec(settings.project, definition.entity.join_key, views, kept, dropped),
        Sentinel(settings.project, definition.name, settings.epoch),
        settings.epoch,
    )
