"""A small lake with a fraud pattern that a model can learn, made once a session."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from contracts.frame import Columns, take
from inference.offline.lake.lake import Lake
from load.this_project import PROJECT
from tests.lake_maker import make_lake

DAY_MS = 86_400_000
BEGIN_MS = 1_700_000_000_000 // DAY_MS * DAY_MS
DAYS = 40
PAYMENTS = 8000
DELAY_MS = 5 * DAY_MS


class Made(NamedTuple):
    """A lake and what went into it."""

    lake: Lake
    payments: Columns
    labels: Columns


def events(seed: int = 7, count: int = PAYMENTS) -> tuple[Columns, Columns]:
    """Return payments and labels: some terminals go bad for a week, and very large amounts are frauds."""
    chance = np.random.default_rng(seed)
    event_ms = np.sort(chance.integers(BEGIN_MS, BEGIN_MS + DAYS * DAY_MS, count))
    terminal = chance.integers(0, 60, count)
    amount = chance.lognormal(8.5, 0.7, count).astype(np.int64)
    week = (event_ms - BEGIN_MS) // (7 * DAY_MS)
    fraud = ((terminal % 6 == week) & (chance.random(count) < 0.5)) | (amount > 25_000)
    payments: Columns = {
        "transaction_id": np.array([f"t{i}" for i in range(count)], np.bytes_),
        "customer_id": np.array([f"c{i}" for i in chance.integers(0, 80, count)], np.bytes_),
        "terminal_id": np.array([f"m{i}" for i in terminal], np.bytes_),
        "event_time": event_ms,
        "amount_minor": amount,
    }
    names = ("transaction_id", "customer_id", "terminal_id", "event_time")
    labels: Columns = {name: payments[name] for name in names}
    labels["label"] = fraud.astype(np.uint8)
    labels["label_time"] = event_ms + DELAY_MS + chance.integers(0, DAY_MS, count)
    order = np.argsort(labels["label_time"], kind="stable")
    known = labels["label_time"][order] <= event_ms[-1]
    return payments, take(labels, order[known])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The lake; tests that change files make their own."""
    payments, labels = events()
    folder: Path = tmp_path_factory.mktemp("made") / "lake"
    make_lake(folder, payments, labels)
    return Made(Lake(folder, PROJECT), payments, labels)
