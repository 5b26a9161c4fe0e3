"""A dataset of the lake as a Feast source: many files behind one pattern, which may have none yet.

Feast's own check knows single files only and warns of every pattern; this one looks into the newest file.
"""

import glob

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FileSource, RepoConfig

from contracts.errors import StateError

MICROSECONDS = pa.timestamp("us", tz="UTC")


class LakeSource(FileSource):
    """Files of one dataset, each with a column of event times in microseconds, UTC."""

    def validate(self, config: RepoConfig) -> None:
        """Check that the files can be joined and materialised by Feast on DuckDB.

        Raises:
            StateError: E_LAKE_TIMESTAMP, the time column is missing or of another type.
        """
        found = max(glob.iglob(self.path, recursive=True), default=None)
        if found is None:
            return
        schema = pq.read_schema(found)
        for column in (self.timestamp_field, self.created_timestamp_column):
            at = schema.get_field_index(column)
            if at < 0 or schema.field(at).type != MICROSECONDS:
                what = f"the column {column} is not {MICROSECONDS}"
                raise StateError("E_LAKE_TIMESTAMP", what, found, "write the dataset again with `headrace`")
