"""What raw records of the lake say, judged as the gate judges them."""

import pyarrow as pa

from contracts.hashed_fields import HashKey, HashKeys
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.verdict import Verdict, judge

# The gate alone has the secret of personal keys: readers of the lake take their hashes from the log.
_NO_SECRET = HashKeys((HashKey(version=0, from_ms=0, secret=bytes(16)),))
_COLUMNS = ("partition", "offset", "appended_ms", "key", "value")


def said_of(source: SourceStream, batch: RawBatch) -> Verdict:
    """Return what a source's records say; columns of `source.hashed` fields mean nothing.

    Headers are not in the lake: what a record was refused for because of them is not refused here.
    """
    return judge(source, batch, _NO_SECRET)


def raw_batch(rows: pa.Table) -> RawBatch:
    """Return records of the lake (partition, offset, appended_ms, key, value) as the gate takes them."""
    partitions, offsets, times_ms, keys, values = (rows[name].to_pylist() for name in _COLUMNS)
    return RawBatch(partitions, offsets, times_ms, keys, values, [None] * rows.num_rows)
