"""A stored row is judged at its own position: behind is not wrong, and a wrong row is not merely behind."""

import numpy as np
import pytest

from contracts.frame import Columns
from features.feast_row import RowsRead
from inference.offline.verify.store import compare_store
from load.this_project import CUSTOMER

WIDTH = len(CUSTOMER.columns)
ROWS: Columns = {"customer_id": np.array([b"c1", b"c1", b"c1"]), "pos": np.array([10, 20, 30])}
LOGGED = np.arange(3 * WIDTH, dtype=np.float64).reshape(3, WIDTH)
LOGGED[:, 1] = np.nan


def stored(row: int, position: int, epoch: int = 7, present: bool = True, add: float = 0.0) -> RowsRead:
    """Return what the store holds for c1: the values of a log row under a stamp."""
    values = np.append(LOGGED[row], 0.0)[None, :].copy()  # the profile's columns follow the streamed ones
    values[0, 0] += add
    return RowsRead(
        values=values, event_time_ms=np.array([[1]]), epochs=np.array([[epoch]]),
        stamps=np.array([[position]]), present=np.array([[present]]), failed=np.array([False]), error="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (stored(2, 30), "equal"),
        (stored(1, 20), "behind"),
        (stored(1, 20, add=1.0), "wrong"),
        (stored(1, 30), "wrong"),
        (stored(2, 25), "wrong"),
        (stored(2, 40), "ahead"),
        (stored(2, 30, epoch=6), "other_epoch"),
        (stored(2, 30, present=False), "absent"),
    ],
)
def test_each_outcome_is_told_apart(row: RowsRead, outcome: str) -> None:
    found = compare_store(CUSTOMER, np.array([b"c1"]), row, ROWS, LOGGED, epoch=7)
    counts = {
        name: getattr(found, name) for name in ("equal", "behind", "ahead", "absent", "other_epoch", "wrong")
    }
    assert counts == {**dict.fromkeys(counts, 0), outcome: 1}
    assert bool(found.examples) == (outcome == "wrong")


def test_lag_and_logic_are_told_apart_by_the_place_compared_at() -> None:
    name = CUSTOMER.columns[0]
    behind = compare_store(CUSTOMER, np.array([b"c1"]), stored(1, 20), ROWS, LOGGED, epoch=7)
    assert name in behind.at_newest
    assert behind.at_own_place == {}
    assert behind.rows_behind_max == 1
    wrong = compare_store(CUSTOMER, np.array([b"c1"]), stored(1, 20, add=1.0), ROWS, LOGGED, epoch=7)
    assert list(wrong.at_own_place) == [name]


@pytest.mark.parametrize("first_pos", [0, 10])
def test_a_row_of_the_seed_is_behind_and_any_other_at_its_place_is_wrong(first_pos: int) -> None:
    begun = {b"c1": LOGGED[1]}
    rows = {**ROWS, "pos": np.array([first_pos, 20, 30])}
    for row, outcome in (
        (stored(1, 0), "behind"),
        (stored(1, 0, add=1.0), "wrong"),
        (stored(1, 30), "wrong"),
    ):
        found = compare_store(CUSTOMER, np.array([b"c1"]), row, rows, LOGGED, 7, begun)
        assert getattr(found, outcome) == 1
        assert bool(found.at_own_place) == (outcome == "wrong" and int(row.stamps[0, 0]) in rows["pos"])
    unseeded = compare_store(CUSTOMER, np.array([b"c1"]), stored(1, 0), rows, LOGGED, 7)
    assert unseeded.wrong == 1


def test_a_key_none_of_whose_rows_can_be_judged_yet_is_one_that_the_lake_is_behind() -> None:
    found = compare_store(CUSTOMER, np.array([b"c9"]), stored(1, 20), ROWS, LOGGED, epoch=7)
    assert (found.ahead, found.judged, found.at_newest) == (1, 0, {})
