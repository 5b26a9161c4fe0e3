"""A model for benchmarks: a hundred trees on the features of a workload's first payments, made in seconds.

Its features come from the same windows as the service's, so that scores, and with them the share of
payments that need reasons, are of the usual kind. It has no batch features and is not meant to be good.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, Kind, position, strings
from feature_repo.generator.frauds import Pattern
from feature_repo.generator.payments import Generated
from features.state import EntityState
from features.vector import vectors_of
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, PROJECT, TERMINAL
from load.trained_model import promote_trained

TREES = 100
REVIEW_SHARE, DECLINE_SHARE = 0.01, 0.001


def promote_quick_model(models: Path, made: Generated, rows: int = 30_000, trees: int = TREES) -> str:
    """Train on the first `rows` deliveries of a workload, promote, and return the version."""
    vectors = _vectors(made, rows)
    fraud = (made.pattern[:rows] != Pattern.HONEST).astype(np.float64)
    shares = {"review": REVIEW_SHARE, "decline": DECLINE_SHARE}
    return promote_trained(models, "bench", (vectors, fraud), trees, shares)


def _vectors(made: Generated, rows: int) -> NDArray[np.float64]:
    table = made.transactions.slice(0, rows)
    events: Columns = {
        "pos": np.array([position(i) for i in range(rows)], np.int64),
        "customer_id": strings(table["customer_id"].to_pylist()),
        "terminal_id": strings(table["terminal_id"].to_pylist()),
        "event_time": np.asarray(table["event_time"]),
        "amount_minor": np.asarray(table["amount_minor"]),
    }
    customer = EntityState(CUSTOMER).apply(events, Kind.SCORED).values
    terminal = EntityState(TERMINAL).apply(events, Kind.SCORED).values
    profile = np.full((rows, len(CUSTOMER_PROFILE.columns)), np.nan)
    return vectors_of(PROJECT).assemble(events, (customer, terminal), profile)
