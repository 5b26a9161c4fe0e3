"""A record on its way to Kafka, before a client knows of it."""

from typing import NamedTuple

from contracts.raw import Header


class Outgoing(NamedTuple):
    """One record to produce to an explicit partition; `topic` is without a run's prefix."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Header] | None
