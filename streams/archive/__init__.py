"""The archive: every topic as Parquet files, whole or not there."""
