"""The Fraud Detection Handbook's payments, where they are: `data/handbook`, or the folder HANDBOOK_DATA."""

import os
from pathlib import Path

import pytest

HANDBOOK = Path(os.environ.get("HANDBOOK_DATA") or Path(__file__).resolve().parents[1] / "data" / "handbook")
PAYMENTS, LABELS = HANDBOOK / "transactions-2018q2.parquet", HANDBOOK / "labels-2018q2.parquet"
needs_handbook = pytest.mark.skipif(
    not PAYMENTS.exists(), reason=f"no {PAYMENTS}; name the folder with HANDBOOK_DATA"
)
