"""Somebody's files of records as they are: Parquet, CSV, NDJSON and JSON, read as documents of a contract.

A `generate.py` that `headrace init --from FILE` writes reads its records by `GivenFile`; the inference that
wrote it reads them by the same functions, so that what was guessed is what is sent.
"""

from headrace.given.given import GivenFile, labels_in, labels_of, write_lines

__all__ = ["GivenFile", "labels_in", "labels_of", "write_lines"]
