"""JSON rows beside the plain definition: a dict a row, written by orjson."""

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load.bench.w1.json_rows import WORDS, JsonWriter

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
NUMBERS = st.one_of(
    st.floats(), st.integers(-(2**53), 2**53).map(float), st.sampled_from([np.nan, -0.0, 1e300, 5e-324])
)


@st.composite
def batches(draw: st.DrawFn) -> tuple[tuple[str, ...], list[dict[str, object]]]:
    columns = tuple(draw(st.lists(st.sampled_from(["count_1h", "sum_1h", "max_7d"]), unique=True)))
    rows = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "source": st.integers(0, 2**62),
                    "event_time": st.integers(-10, 2**45),
                    **dict.fromkeys(WORDS, IDS),
                    **dict.fromkeys(columns, NUMBERS),
                }
            ),
            min_size=1,
            max_size=5,
        )
    )
    return columns, rows


@given(batches())
@settings(deadline=None)
def test_each_record_is_what_orjson_writes_of_a_dict(
    batch: tuple[tuple[str, ...], list[dict[str, object]]],
) -> None:
    columns, rows = batch
    rows = [{name: row[name] for name in ("source", "event_time", *WORDS, *columns)} for row in rows]
    made = {
        "pos": np.array([row["source"] for row in rows], np.int64),
        "event_time": np.array([row["event_time"] for row in rows], np.int64),
        "customer_values": np.array([[row[name] for name in columns] for row in rows], np.float64),
    } | {name: np.array([str(row[name]).encode() for row in rows]) for name in WORDS}
    targets = np.arange(len(rows), dtype=np.int32) % 3
    records = JsonWriter("events.customer/0", 0, columns).emit(2, made, targets, 9)
    assert records == [(number % 3, orjson.dumps(row)) for number, row in enumerate(rows)]


@pytest.mark.parametrize("columns", [(), ("count_1h",)])
def test_no_rows_make_no_records(columns: tuple[str, ...]) -> None:
    rows = {"pos": np.empty(0, np.int64), "event_time": np.empty(0, np.int64)}
    rows |= {name: np.empty(0, "S1") for name in WORDS} | {"customer_values": np.empty((0, len(columns)))}
    assert JsonWriter("events.customer/0", 0, columns).emit(2, rows, np.empty(0, np.int32), 0) == []
