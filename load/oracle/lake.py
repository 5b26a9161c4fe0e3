"""The lake against the topics: each record, or each row of the feature log, is there once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from load.oracle.dump import Dump, Place
from load.oracle.findings import Findings
from load.oracle.intake import LABELS, PAYMENTS, Origin, is_readable

RECORDS = {
    "transactions": "transactions", "labels": "labels", "predictions": "predictions",
    "transactions_dlq": "transactions.dlq",
}  # fmt: skip
ROWS = {"features": PAYMENTS, "label_log": LABELS}


def check_lake(dump: Dump, order: Mapping[Origin, Any], found: Findings) -> None:
    """Compare every dataset with its topic."""
    for dataset, topic in RECORDS.items():
        wanted = [(record.partition, record.offset) for record in dump.topics[topic] if is_readable(record)]
        _compare(dataset, wanted, dump.lake[dataset], found)
    for dataset, topic in ROWS.items():
        wanted = [(origin.partition, origin.offset) for origin in order if origin.topic == topic]
        _compare(dataset, wanted, dump.lake[dataset], found)


def _compare(dataset: str, wanted: Iterable[Place], rows: Iterable[Place], found: Findings) -> None:
    there = Counter((partition, offset) for partition, offset in rows)
    due = set(wanted)
    for place in due:
        if there[place] != 1:
            found.add("lake_mismatch", f"{dataset}: {place} is there {there[place]} times")
    for place in there.keys() - due:
        found.add("lake_mismatch", f"{dataset}: {place} is there and in no topic")
