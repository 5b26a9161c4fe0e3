"""What the archive could not take with the rest of a topic: kept beside its dataset, with code and bytes.

The dataset of a topic is `<topic>_set_aside` (dots as underscores): one row a record, or a row for a batch
that Kafka's client cannot unpack, of which only the offsets are known. Readers of the lake never meet them.
"""

from typing import NamedTuple

import pyarrow as pa

_SCHEMA = pa.schema(
    {
        "offset": pa.int64(), "offset_last": pa.int64(), "code": pa.string(), "reason": pa.string(),
        "value": pa.binary(),
    }
)  # fmt: skip


class SetAside(NamedTuple):
    """A record, or the records of an unreadable batch, that the lake has in no other place."""

    offset: int
    offset_last: int
    code: str
    reason: str
    value: bytes | None


def dataset_of(topic: str) -> str:
    """Return the dataset of what was set aside of a topic, named without a run's prefix.

    >>> dataset_of("features.log")
    'features_log_set_aside'
    """
    return topic.replace(".", "_") + "_set_aside"


def table_of(rows: list[SetAside]) -> pa.Table:
    """Return the rows as a table.

    >>> table_of([SetAside(7, 7, "E_FRAME_KIND", "rows of kind 9", b"HRF1")]).num_rows
    1
    """
    columns = list(map(list, zip(*rows, strict=True)))
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.table(arrays, schema=_SCHEMA)
