"""The columns that a reader of inter-stage rows relies on, by source; a row without one is not ours."""

from contracts.chain import Chain, Link
from contracts.pipeline import Pipeline, SourceStream

ORIGIN = frozenset(["pos", "raw_partition", "raw_offset", "appended_ms"])
MADE = ORIGIN | {"content_hash", "traceparent", "late", "positive"}  # by gate and stages, beside the fields


def made_columns(chain: Chain) -> frozenset[str]:
    """Return the columns that gate and stages add to a row: no field of a contract can be called so.

    >>> sorted(made_columns(Chain(("user", "user_id"))) - MADE)
    ['user_definitions', 'user_partition', 'user_pos', 'user_values']
    """
    of_links = ((link.values, link.definitions, link.partition, link.position) for link in chain.links)
    return MADE.union(*of_links)


def entered_columns(source: SourceStream) -> frozenset[str]:
    """Return the columns of a source's rows as the gate makes them."""
    made = ORIGIN | {*source.names, *source.marks}
    if source.is_scored:
        made |= {"traceparent"}
    return made | {"content_hash"} if source.ids and not source.is_labels else made


def stage_columns(pipeline: Pipeline, link: Link) -> dict[int, frozenset[str]]:
    """Return the sources whose rows come to a stage, and the columns that each must have.

    Values stand in every scored row. Other rows have those of the entities that read their source, which
    nobody on their way needs: whether an entity does may change while rows are on their way.
    """
    before = pipeline.chain.before(link)
    if not before:
        return {source.number: entered_columns(source) for source in pipeline.sources}
    added = {"late"} | {name for one in before for name in (one.partition, one.position)}
    values = {one.values for one in before}
    return {
        source.number: entered_columns(source) - {"content_hash"}
        | added
        | (values if source.is_scored else set())
        for source in pipeline.sources
    }


def log_columns(pipeline: Pipeline) -> dict[int, frozenset[str]]:
    """Return what every reader of the log of features needs of each source's rows."""
    return {
        source.number: frozenset({"pos", "appended_ms", source.time}) | _values(source, pipeline.chain.links)
        for source in pipeline.sources
    }


def _values(source: SourceStream, links: tuple[Link, ...]) -> frozenset[str]:
    return frozenset(link.values for link in links) if source.is_scored else frozenset()
