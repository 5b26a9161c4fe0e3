"""Where the goldens lie, and how inputs, model and values are made and read.

tests/goldens/payments/inputs.parquet     the rows, in log order, with their steps
tests/goldens/payments/profiles.parquet   customers' profiles and the step at which the store gets them
tests/goldens/payments/schedule.json      partitions, and what holds at each step
tests/goldens/payments/model.txt          LightGBM's text; model.json and calibration.json beside it
tests/goldens/payments/policy.yaml        the policy
tests/goldens/payments/values/            the golden values, one table a file
"""

import json
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inference.models.calibration import fit
from load.this_project import SERVICE
from tests.goldens import tables
from tests.goldens.adapter import Batching, Inputs, Run
from tests.goldens.workload import PARTITIONS, Workload, profiles, schedule

FOLDER = Path(__file__).parent / "payments"
SEED, PAYMENTS = 20180501, 5000
THRESHOLDS = {"review": 0.3, "decline": 0.8}
INPUTS = pa.schema([
    ("row", pa.int32()), ("step", pa.int32()), ("kind", pa.string()), ("source_partition", pa.int32()),
    ("source_offset", pa.int32()), ("appended_ms", pa.int64()), ("transaction_id", pa.string()),
    ("customer_id", pa.string()), ("terminal_id", pa.string()), ("event_time", pa.int64()),
    ("amount_minor", pa.int64()), ("currency", pa.string()), ("channel", pa.string()),
    ("country", pa.string()), ("label", pa.int8()), ("label_time", pa.int64()), ("source", pa.string()),
])  # fmt: skip
PROFILES = pa.schema([
    ("step", pa.int32()), ("customer_id", pa.string()), ("time_ms", pa.int64()),
    ("values", pa.list_(pa.float64())),
])  # fmt: skip


def read_inputs(folder: Path = FOLDER, *, with_model: bool = True) -> Inputs:
    """Return the workload that is kept."""
    said = json.loads((folder / "schedule.json").read_text())
    return Inputs(
        pq.read_table(folder / "inputs.parquet"), pq.read_table(folder / "profiles.parquet"),
        said["steps"], said["partitions"], folder if with_model else None,
    )  # fmt: skip


def golden(folder: Path = FOLDER) -> dict[str, pa.Table]:
    """Return the golden values."""
    return tables.read(folder / "values")


def run(batching: Batching | None = None, folder: Path = FOLDER) -> dict[str, pa.Table]:
    """Return the values that the service of today makes of the workload."""
    return Run(read_inputs(folder), batching).tables()


def make_inputs(folder: Path = FOLDER) -> None:
    """Draw the workload anew and train its model; the goldens of before are worth nothing then."""
    work = Workload(SEED, PAYMENTS)
    rows, steps = work.rows()
    given = profiles(work.customers, steps, SEED)
    pq.write_table(pa.Table.from_pylist(rows, INPUTS), folder / "inputs.parquet", compression="zstd")
    pq.write_table(pa.Table.from_pylist(given, PROFILES), folder / "profiles.parquet", compression="zstd")
    said = {"partitions": PARTITIONS, "steps": schedule(steps, SEED)}
    (folder / "schedule.json").write_text(json.dumps(said, indent=0) + "\n")
    make_model(folder)


def make_model(folder: Path) -> None:
    """Train the model of the workload on its own vectors and outcomes, and write it as text."""
    inputs = read_inputs(folder, with_model=False)
    found = Run(inputs).tables()["vectors"].to_pydict()
    outcomes = {
        row["transaction_id"]: row["label"] for row in inputs.rows.to_pylist() if row["kind"] == "label"
    }
    ids = {row["row"]: row["transaction_id"] for row in inputs.rows.to_pylist()}
    known = [at for at, row in enumerate(found["row"]) if ids[row] in outcomes]
    columns = [np.array(found[name], np.float64) for name in SERVICE.columns]
    vectors = np.column_stack(columns)[known]
    outcome = np.array([outcomes[ids[found["row"][at]]] for at in known])
    parameters = {
        "objective": "binary", "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 20, "seed": 1,
        "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    data = lightgbm.Dataset(vectors, outcome, feature_name=list(SERVICE.columns))
    booster = lightgbm.train(parameters, data, 60)
    (folder / "model.txt").write_text(booster.model_to_string())
    said = {"features": list(SERVICE.columns), "thresholds": THRESHOLDS}
    (folder / "model.json").write_text(json.dumps(said, indent=1) + "\n")
    scores = np.asarray(booster.predict(vectors, num_threads=1))
    calibration = fit(outcome.astype(np.int64), scores)
    (folder / "calibration.json").write_bytes(msgspec.json.encode(calibration) + b"\n")
