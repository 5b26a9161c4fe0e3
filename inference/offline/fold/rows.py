"""Which columns of the lake an entity's state reads, and what names each row's place in the log."""

from collections.abc import Collection
from typing import NamedTuple

from contracts.pipeline import Pipeline, SourceStream
from contracts.terms import is_number
from features.definition import Entity
from inference.offline.lake.lake import PARTITION
from inference.offline.lake.sql import literal, quoted

PLACE = ("raw_partition", "raw_offset")
EVENT_ID = "event_id"  # of a row read from the lake, as decisions have it (`contracts.event_identity`)


class Origin(NamedTuple):
    """A dataset of the feature log that holds rows of an entity.

    `partition` and `pos` name the columns of a row's place in the entity's stage; `time` the column of the
    time at which its rows count, and `fields` those of their key.
    """

    dataset: str
    source: SourceStream
    partition: str
    pos: str
    time: str
    fields: tuple[str, ...]

    @property
    def kind(self) -> int:
        """The number of the source, as record batches of its rows carry it."""
        return self.source.number

    @property
    def raw(self) -> str:
        """The dataset of the records that its rows were made of."""
        return self.source.topic


def origins(pipeline: Pipeline, entity: Entity, sources: Collection[int] = ()) -> tuple[Origin, ...]:
    """Return the datasets of the sources whose rows move the entity, or of those of some numbers.

    The last stage writes the log, so a partition of its own is one of the log.

    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> account, _, ip = logins.entities
    >>> [(origin.dataset, origin.partition) for origin in origins(logins.pipeline, ip)]
    [('features', 'partition'), ('label_log', 'partition')]
    >>> [origin.partition for origin in origins(logins.pipeline, account)]
    ['account_partition', 'account_partition']
    """
    link, moved = pipeline.chain.named(entity.name), entity.times
    asked = {source.number: moved.get(source.number, source.time) for source in pipeline.sources}
    partition = PARTITION if link == pipeline.chain.last else link.partition
    return tuple(
        Origin(
            pipeline.log_dataset(source), source, partition, link.position, asked[source.number], link.fields
        )
        for source in pipeline.sources
        if source.number in (sources or moved) and set(link.fields) <= set(source.names)
    )


def facts(entity: Entity, origin: Origin) -> tuple[str, ...]:
    """Return the columns that the entity's views read of a source's rows, those of the key first."""
    read = [name for view in entity.views if view.rows == origin.kind for name in view.reads]
    return tuple(dict.fromkeys([*origin.fields, origin.time, *read]))


def is_whole(pipeline: Pipeline, field: str) -> bool:
    """Return whether a field is a whole number in the lake, and not a text."""
    declared = pipeline.fields_by_name.get(field, ())
    hashed = any(field in source.hashed for source in pipeline.sources)
    return bool(declared) and is_number(declared[0]) and not hashed


def has_key(pipeline: Pipeline, fields: tuple[str, ...], of: str = "") -> str:
    """Return the condition of the rows that have a key of these fields; the others are not folded."""
    null = {True: str(-(2**63) + 1), False: "''"}
    parts = []
    for name in fields:
        column, whole = quoted(name, of=of), is_whole(pipeline, name)
        parts.append(f"{column} {'>=' if whole else '<>'} {null[whole]}")
    return " AND ".join(parts)


def key_text(fields: tuple[str, ...], of: str = "") -> str:
    """Return the expression of a row's key as the stages have it (`contracts.keys.key_of`).

    >>> print(key_text(("shop",)), key_text(("shop", "till")), sep="; ")
    CAST("shop" AS VARCHAR); concat(strlen(CAST("shop" AS VARCHAR)), ':', CAST("shop" AS VARCHAR), \
strlen(CAST("till" AS VARCHAR)), ':', CAST("till" AS VARCHAR))
    """
    texts = [f"CAST({quoted(name, of=of)} AS VARCHAR)" for name in fields]
    if len(texts) == 1:
        return texts[0]
    return f"concat({', '.join(part for text in texts for part in (f'strlen({text})', literal(':'), text))})"
