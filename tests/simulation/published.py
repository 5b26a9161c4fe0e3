"""What a producer sends."""

from typing import NamedTuple


class Published(NamedTuple):
    """One record to publish: topic, partition, key and value."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
