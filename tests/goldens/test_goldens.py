"""The goldens hold today, in any batches and any process, and a change of one bit is found."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.state import EntityState
from features.vector import VectorMaker
from inference.policy import engine
from tests.goldens import handbook, kept, tables
from tests.goldens.__main__ import main
from tests.goldens.adapter import Batching
from tests.handbook import needs_handbook

CHECKOUT = Path(__file__).resolve().parents[2]
SIZES_MAX = {"inputs.parquet": 300_000, "model.txt": 300_000}
SOME_ROWS = 60


@pytest.fixture(scope="module")
def golden() -> dict[str, pa.Table]:
    return kept.golden()


def test_every_value_is_what_it_was_in_a_process_of_its_own() -> None:
    """Its hash seed is another one than this process has, and nothing ran in it before."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.goldens", "check"], capture_output=True, text=True, cwd=CHECKOUT,
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(CHECKOUT)}, timeout=110,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "are bit-equal" in answer.stdout


def test_no_value_depends_on_where_batches_end(golden: dict[str, pa.Table]) -> None:
    found = tables.differences(golden, kept.run(Batching(100, 0, 13)))
    assert not found, tables.report(found)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("batching", [Batching(1, 1, 1), Batching(7, 3, 50)])
def test_no_value_depends_on_batches_of_a_few_rows(golden: dict[str, pa.Table], batching: Batching) -> None:
    found = tables.differences(golden, kept.run(batching))
    assert not found, tables.report(found)


@pytest.mark.long
@pytest.mark.timeout(900)
@needs_handbook
def test_the_real_data_comes_to_the_same_values() -> None:
    assert handbook.apart() == []


def test_the_workload_holds_what_it_is_said_to_hold(golden: dict[str, pa.Table]) -> None:
    inputs = kept.read_inputs()
    rows = inputs.rows.to_pylist()
    payments = [row for row in rows if row["kind"] == "payment"]
    sizes = np.bincount([row["step"] for row in rows])
    assert (sizes.min(), sizes.max()) == (1, 2000)
    assert {row["source_partition"] for row in payments} == {0, 1}
    late_ms = [row["appended_ms"] - row["event_time"] for row in payments]
    assert max(late_ms) > 60 * 86_400_000
    assert min(late_ms) < -30 * 86_400_000
    times = [row["event_time"] for row in payments]
    assert len(times) - len(set(times)) > 100, "ties"
    ids = [(row["customer_id"], row["transaction_id"]) for row in payments]
    scored = golden["features"].num_rows
    assert len(ids) - len(set(ids)) > 100, "repeats"
    assert scored + golden["refused"].num_rows < len(payments) < scored + 1000
    assert sum(step["restore"] for step in inputs.steps) >= 3
    decisions = golden["decisions"].to_pydict()
    assert set(decisions["decided_by"]) == {"model", "rule", "fallback", "override", "default", "gatekeeper"}
    assert set(decisions["level"]) >= {"full", "own_row", "last_known", "rules", "gatekeeper"}
    hits = {word for rules in set(decisions["rules"]) for word in rules.split() if word.endswith("=hit")}
    assert len(hits) == 4, "every rule hits somewhere"


def test_what_is_kept_is_small() -> None:
    for name, most in SIZES_MAX.items():
        assert (kept.FOLDER / name).stat().st_size < most
    assert sum(path.stat().st_size for path in (kept.FOLDER / "values").iterdir()) < 2_000_000


class Once:
    """Wraps a function so that one value of its first large result is changed."""

    def __init__(
        self, of: Callable[..., Any], change: Callable[[Any], None], rows: Callable[[Any], int]
    ) -> None:
        self._of, self._change, self._rows = of, change, rows
        self.done = False

    def __call__(self, *given: Any) -> Any:
        made = self._of(*given)
        if not self.done and self._rows(made) > SOME_ROWS:
            self.done = True
            self._change(made)
        return made


def change_feature(applied: Any) -> None:
    applied.values[7, 3] = np.nextafter(applied.values[7, 3], np.inf)


def change_vector(vectors: Any) -> None:
    vectors[11, 1] = np.nextafter(vectors[11, 1], np.inf)


def change_decision(decided: Any) -> None:
    decided.decision[13] = (decided.decision[13] + 1) % 3


def test_one_bit_that_the_service_computes_otherwise_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A feature, an element of a vector and a decision change in the service, each at another payment."""
    fold = Once(EntityState.fold, change_feature, lambda made: len(made.values))
    monkeypatch.setattr(EntityState, "fold", lambda *given: fold(*given))
    assemble = Once(VectorMaker.assemble, change_vector, len)
    monkeypatch.setattr(VectorMaker, "assemble", lambda *given: assemble(*given))
    decide = Once(engine.decide, change_decision, lambda made: len(made.decision))
    monkeypatch.setattr(engine, "decide", decide)
    assert main(["check"]) == 1
    assert fold.done
    assert assemble.done
    assert decide.done
    shown = capsys.readouterr().out
    assert "1 features.customer_count_30d" in shown
    assert "1 vectors.hour_of_day" in shown
    assert "1 decisions.decision" in shown
    assert "(1 ulps apart)" in shown


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column) for name, one in kept.golden().items() for column in one.column_names],
)
def test_one_other_value_of_any_column_is_a_difference(
    golden: dict[str, pa.Table], name: str, column: str
) -> None:
    one = golden[name].slice(0, SOME_ROWS)
    values = one[column].to_pylist()
    at = next((row for row, value in enumerate(values) if value is not None), 0)
    values[at] = _other(values[at])
    position = one.column_names.index(column)
    changed = one.set_column(position, column, pa.chunked_array([pa.array(values, one[column].type)]))
    found = tables.differences({name: one}, {name: changed})
    assert found
    assert column in tables.KEYS[name] or [difference.column for difference in found] == [column]
    assert tables.digests({name: one}) != tables.digests({name: changed})


def _other(value: Any) -> Any:
    """Return the next value there is."""
    if value is None:
        return 1.0
    if isinstance(value, float):
        return float(np.nextafter(value, np.inf))
    return value + 1 if isinstance(value, int) else value + "!"


@pytest.mark.parametrize(
    ("old", "new"), [(0.0, -0.0), (1.0, None), (None, 1.0), (1.0, float(np.nextafter(1.0, 2.0)))]
)
def test_signs_nulls_and_last_bits_differ(old: float | None, new: float | None) -> None:
    first, second = (
        {"vectors": tables.table({"row": [1], "x": pa.array([x], pa.float64())})} for x in (old, new)
    )
    assert tables.differences(first, first) == []
    (found,) = tables.differences(first, second)
    assert (found.key, found.column) == ("1", "x")


def test_a_table_row_or_column_too_few_or_too_many_is_a_difference() -> None:
    one = {"vectors": tables.table({"row": [1, 2], "x": [1.0, 2.0]})}
    less = {"vectors": tables.table({"row": [1], "x": [1.0]})}
    wider = {"vectors": tables.table({"row": [1, 2], "x": [1.0, 2.0], "y": [1.0, 2.0]})}
    twice = {"vectors": tables.table({"row": [1, 2, 2], "x": [1.0, 2.0, 2.0]})}
    for other in (less, wider, twice, {}):
        assert tables.differences(one, other)
        assert tables.differences(other, one)
    assert tables.differences(one, {"vectors": one["vectors"].take([1, 0])}) == [], "order says nothing"
