"""The card-payments project in declarations is the engine's views of before, bit for bit."""

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from contracts.frame import Kind
from features.aggregations import Count, Distinct, Last, Max, Mean, Min, SinceLast, Std, Sum
from features.definition import Feature, View, Window, definitions_hash
from features.expressions import Program, col, number
from load.this_project import CHAIN, CUSTOMER, ENTITIES, PROJECT, SERVICE, TERMINAL

Floats = NDArray[np.float64]
HOUR, DAY, WEEK, MONTH = (Window.of(hours=1), Window.of(hours=24), Window.of(days=7), Window.of(days=30))


def amounts(prefix: str) -> tuple[Feature, ...]:
    windows = (HOUR, DAY, WEEK, MONTH)
    counts = [Feature(name=f"{prefix}_count_{w.label}", aggregation=Count(), window=w) for w in windows]
    means = [Feature(name=f"{prefix}_amount_mean_{w.label}", aggregation=Mean(), window=w) for w in windows]
    return (*counts, *means)


WRITTEN_IN_FULL = (
    View(
        name="customer_payments", rows=Kind.SCORED, measure="amount_minor", time="event_time",
        item="terminal_id", items="distinct",
        features=(
            *amounts("customer"),
            Feature(name="customer_amount_sum_24h", aggregation=Sum(), window=DAY),
            Feature(name="customer_amount_max_24h", aggregation=Max(), window=DAY),
            Feature(name="customer_amount_max_30d_before", aggregation=Max(), window=MONTH, current=False),
            Feature(name="customer_amount_min_30d_before", aggregation=Min(), window=MONTH, current=False),
            Feature(name="customer_amount_mean_30d_before", aggregation=Mean(), window=MONTH, current=False),
            Feature(name="customer_amount_std_30d_before", aggregation=Std(), window=MONTH, current=False),
            Feature(name="customer_terminals_24h", aggregation=Distinct(), window=DAY),
            Feature(name="customer_terminals_30d", aggregation=Distinct(), window=MONTH),
            Feature(name="customer_last_amount", aggregation=Last(), current=False),
            Feature(name="customer_ms_since_last", aggregation=SinceLast(), current=False),
        ),
    ),
    View(
        name="terminal_payments", rows=Kind.SCORED, measure="amount_minor", time="event_time",
        item="customer_id", items="distinct",
        features=(
            *amounts("terminal"),
            Feature(name="terminal_customers_24h", aggregation=Distinct(), window=DAY),
            Feature(name="terminal_customers_7d", aggregation=Distinct(), window=WEEK),
        ),
    ),
    View(
        name="terminal_labels", rows=Kind.LABEL, measure="positive", time="label_time",
        item="customer_id+transaction_id", items="replace",
        features=tuple(
            Feature(name=f"terminal_{noun}_{window.label}", aggregation=aggregation, window=window)
            for noun, aggregation in (("labels", Count()), ("frauds", Sum()))
            for window in (Window.of(days=1), WEEK, MONTH)
        ),
    ),
)  # fmt: skip


def test_the_project_has_no_problems_and_asks_for_nothing_that_the_engine_does_not_run() -> None:
    assert PROJECT.compiled.problems == ()
    assert PROJECT.compiled.needs == ()


@pytest.mark.parametrize("written", WRITTEN_IN_FULL, ids=lambda view: view.name)
def test_a_declared_view_means_what_it_meant_written_in_full(written: View) -> None:
    (declared,) = (view.view for view in PROJECT.compiled.views if view.name == written.name)
    assert declared is not None
    assert {name for name, _ in declared.types} <= set(declared.reads) == set(written.reads)
    whole = replace(written, source=declared.source, types=declared.types)
    assert definitions_hash(declared) == definitions_hash(whole)
    assert declared.columns == written.columns


def test_a_measure_has_room_for_the_rows_that_are_said() -> None:
    allowed = {view.name: dict(view.rows_allowed) for view in PROJECT.compiled.views}
    assert allowed == {
        "customer_payments": {"amount_minor": 8_192}, "terminal_payments": {"amount_minor": 8_388_607},
        "terminal_labels": {},
    }  # fmt: skip


def ratio(above: Floats, below: Floats) -> Floats:
    return np.where(below == 0, np.nan, above / np.where(below == 0, 1.0, below))


def test_derived_features_are_the_formulas_of_before_bit_for_bit() -> None:
    draws = np.random.default_rng(5)
    of = {
        name: np.where(draws.random(5_000) < 0.2, np.nan, draws.integers(0, 50, 5_000) / 7)
        for name in ("amount_minor", *CUSTOMER.columns, *TERMINAL.columns)
    }
    amount, mean = of["amount_minor"], of["customer_amount_mean_30d_before"]
    expected = {
        "customer_amount_ratio_30d": ratio(amount, mean),
        "customer_amount_zscore_30d": ratio(amount - mean, of["customer_amount_std_30d_before"]),
        "customer_frequency_ratio_24h": ratio(of["customer_count_24h"] * 30.0, of["customer_count_30d"]),
        "terminal_amount_ratio_30d": ratio(amount, of["terminal_amount_mean_30d"]),
        "terminal_frequency_ratio_24h": ratio(of["terminal_count_24h"] * 30.0, of["terminal_count_30d"]),
        **{
            f"terminal_fraud_ratio_{days}": ratio(
                of[f"terminal_frauds_{days}"], of[f"terminal_labels_{days}"]
            )
            for days in ("1d", "7d", "30d")
        },
    }
    (model,) = PROJECT.compiled.models
    found = Program(model.derived, {name: number() for name in of}).floats(of)
    assert tuple(found) == SERVICE.derived == tuple(expected)
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name


def test_what_the_wire_is_named_from_is_what_the_project_declares() -> None:
    """Contracts know no project, so the chain and the label's positive value stand there too."""
    declared = PROJECT.compiled.declared
    assert [(link.name, (link.key,)) for link in CHAIN.links] == [(e.name, e.fields) for e in declared.chain]
    assert [entity.name for entity in ENTITIES] == list(CHAIN.names)
    [model] = declared.models
    assert model.label is not None
    assert str(model.label.positive) == str(col("label") == "fraud")
