"""Where one stage's rows go in the online store, made of its definition and settings."""

from features.feast_key import key_format
from features.feast_row import RowWriterCodec
from features.feast_tiles import TilesView
from runtime.store_owner import Owner
from streams.stage.definition import StageDefinition
from streams.stage.settings import StageSettings
from streams.store.sentinel import Sentinel
from streams.store.writer import StoreTarget


def store_target(definition: StageDefinition, settings: StageSettings) -> StoreTarget:
    """Return server, codec, sentinel and epoch of a stage's rows."""
    views = [(view.name, view.columns) for view in definition.entity.views]
    tiles, key = TilesView.of(definition.entity), key_format(definition.pipeline, definition.entity)
    kept, dropped = (tiles, None) if definition.tiles else (None, tiles)
    owner = Owner(epoch=settings.epoch, run=settings.topic_prefix)
    return StoreTarget(
        settings.redis,
        RowWriterCodec(settings.project, key, views, kept, dropped),
        Sentinel(settings.project, definition.name, settings.epoch, owner),
        settings.epoch,
    )
