"""A second golden, of real data: some customers' payments of the Fraud Detection Handbook, over a quarter.

About 20,000 payments of the first customers by name rather than the first 20,000 of all, which are two days:
windows of a month and labels that are known a week later would never be filled. The data is not in the
checkout, so digests of the values' bits are kept, a column each, in tests/goldens/handbook.json.
"""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.goldens import tables
from tests.goldens.adapter import Inputs, Run
from tests.goldens.kept import FOLDER, INPUTS, PROFILES
from tests.goldens.workload import PARTITIONS, in_steps, schedule
from tests.handbook import LABELS, PAYMENTS

KEPT = Path(__file__).with_name("handbook.json")
CUSTOMERS, SEED = 115, 2018


def inputs() -> Inputs:
    """Return the workload, made of the data where it lies."""
    payments = pq.read_table(PAYMENTS)
    chosen = sorted(set(payments["customer_id"].to_pylist()))[:CUSTOMERS]
    mine = _of(payments, chosen, "payment", "event_time")
    labels = _of(pq.read_table(LABELS), chosen, "label", "label_time")
    for label in labels:
        label["label"] = int(label["label"] == "fraud")
    events = sorted(mine + labels, key=lambda row: (row["appended_ms"], row["kind"], row["transaction_id"]))
    rows, steps = in_steps(events, random.Random(SEED))
    table = pa.Table.from_pylist(rows, INPUTS)
    return Inputs(table, pa.Table.from_pylist([], PROFILES), schedule(steps, SEED), PARTITIONS, FOLDER)


def _of(table: pa.Table, customers: list[str], kind: str, moment: str) -> list[dict[str, Any]]:
    some = table.filter(pc.is_in(table["customer_id"], pa.array(customers))).to_pylist()
    return [row | {"kind": kind, "appended_ms": row[moment]} for row in some]


def found() -> dict[str, str]:
    """Return the digests of today."""
    return tables.digests(Run(inputs()).tables())


def golden() -> dict[str, str]:
    """Return the digests that are kept."""
    kept: dict[str, str] = json.loads(KEPT.read_text())
    return kept


def apart() -> list[str]:
    """Return the columns whose bits are others than those that are kept, tables by their rows."""
    kept, now = golden(), found()
    return sorted(name for name in kept.keys() | now.keys() if kept.get(name) != now.get(name))


def take() -> None:
    """Keep the digests of today."""
    KEPT.write_text(json.dumps(found(), indent=0) + "\n")
