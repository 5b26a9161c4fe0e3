"""The vector's formulas: the declared trees are what was once written by hand, to the last bit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from features.service_meaning import service_meaning
from features.vector import vectors_of
from load.chaos.collect import declared
from load.oracle.bits import same
from load.oracle.sources import ProjectOracle
from load.oracle.vectors import Vectors
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, PROJECT, SERVICE, TERMINAL

Floats = NDArray[np.float64]
ROWS = 500


def _ratio(above: Floats, below: Floats) -> Floats:
    return above / np.where(below == 0.0, np.nan, below)


def _by_hand(event: dict[str, NDArray[np.int64]], v: dict[str, Floats]) -> dict[str, Floats]:
    """The formulas as NumPy wrote them before there were trees."""
    amount, hour = event["amount_minor"].astype(np.float64), event["event_time"] % 86_400_000 // 3_600_000
    mean, std = v["customer_amount_mean_30d_before"], v["customer_amount_std_30d_before"]
    return {
        "amount_minor": amount,
        "hour_of_day": hour.astype(np.float64),
        "is_night": (hour < 6).astype(np.float64),
        "is_weekend": ((event["event_time"] // 86_400_000 + 3) % 7 >= 5).astype(np.float64),
        "customer_amount_ratio_30d": _ratio(amount, mean),
        "customer_amount_zscore_30d": _ratio(amount - mean, std),
        "customer_frequency_ratio_24h": _ratio(v["customer_count_24h"] * 30.0, v["customer_count_30d"]),
        "terminal_amount_ratio_30d": _ratio(amount, v["terminal_amount_mean_30d"]),
        "terminal_frequency_ratio_24h": _ratio(v["terminal_count_24h"] * 30.0, v["terminal_count_30d"]),
        "terminal_fraud_ratio_1d": _ratio(v["terminal_frauds_1d"], v["terminal_labels_1d"]),
        "terminal_fraud_ratio_7d": _ratio(v["terminal_frauds_7d"], v["terminal_labels_7d"]),
        "terminal_fraud_ratio_30d": _ratio(v["terminal_frauds_30d"], v["terminal_labels_30d"]),
    }


@pytest.fixture
def stored() -> tuple[dict[str, NDArray[np.int64]], list[Floats]]:
    """Events, and stored features with nulls, zeros and both their signs."""
    rng = np.random.default_rng(5)
    event = {
        "amount_minor": rng.integers(0, 2**40, ROWS),
        "event_time": rng.integers(946_684_800_000, 4_102_444_800_000, ROWS),
    }
    groups = []
    for columns in (CUSTOMER.columns, TERMINAL.columns, CUSTOMER_PROFILE.columns):
        values = rng.gamma(2.0, 3.0, (ROWS, len(columns)))
        values[rng.random(values.shape) < 0.2] = np.nan
        values[rng.random(values.shape) < 0.2] = 0.0
        values[rng.random(values.shape) < 0.1] = -0.0
        groups.append(values)
    return event, groups


def test_the_trees_are_the_formulas_by_hand(
    stored: tuple[dict[str, NDArray[np.int64]], list[Floats]],
) -> None:
    event, groups = stored
    vectors = vectors_of(PROJECT).assemble(event, groups[:2], groups[2])
    known = {name: vectors[:, at] for at, name in enumerate(SERVICE.columns)}
    due = _by_hand(event, known)
    assert due.keys() == SERVICE.formulas.keys()
    for name, values in due.items():
        assert known[name].tobytes() == np.where(np.isnan(values), np.nan, values).tobytes(), name


def oracle_of_vectors() -> Vectors:
    plain = declared(PROJECT, 1, 1)
    return Vectors(plain, ProjectOracle(plain).scored.kinds)


def test_the_oracle_makes_the_same_vectors(
    stored: tuple[dict[str, NDArray[np.int64]], list[Floats]],
) -> None:
    event, groups = stored
    vectors, oracle = vectors_of(PROJECT).assemble(event, groups[:2], groups[2]), oracle_of_vectors()
    names = [*CUSTOMER.columns, *TERMINAL.columns, *CUSTOMER_PROFILE.columns]
    for row in range(0, ROWS, 5):
        known = dict(zip(names, np.concatenate([group[row] for group in groups]).tolist(), strict=True))
        one = {name: int(values[row]) for name, values in event.items()}
        due = [None if value != value else value for value in vectors[row].tolist()]
        assert same(oracle.of(one, known), due)


def test_what_a_derived_feature_means_follows_its_formula_and_its_inputs() -> None:
    meant = service_meaning(PROJECT).features
    assert len({meant[name] for name in SERVICE.formulas}) == len(SERVICE.formulas)
    assert SERVICE.formulas["terminal_fraud_ratio_7d"].inputs() == (
        "terminal_frauds_7d",
        "terminal_labels_7d",
    )
