"""Every feature by name: what the stream keeps, what the batch adds, what the model is given, in order."""

import msgspec

from contracts.frame import Kind
from features.aggregations import Count, Distinct, Last, Max, Mean, Min, SinceLast, Std, Sum
from features.definition import DAY_MS, BatchView, Entity, Feature, View, Window, definitions_hash

HOUR, DAY, WEEK, MONTH = Window.of(hours=1), Window.of(hours=24), Window.of(days=7), Window.of(days=30)
LABEL_DAY = Window.of(days=1)


def _amounts(prefix: str) -> tuple[Feature, ...]:
    """Frequency and mean amount over the four windows that both entities have."""
    windows = (HOUR, DAY, WEEK, MONTH)
    counts = [Feature(name=f"{prefix}_count_{w.label}", aggregation=Count(), window=w) for w in windows]
    means = [Feature(name=f"{prefix}_amount_mean_{w.label}", aggregation=Mean(), window=w) for w in windows]
    return (*counts, *means)


CUSTOMER_PAYMENTS = View(
    name="customer_payments",
    rows=Kind.PAYMENT,
    measure="amount_minor",
    time="event_time",
    item="terminal_id",
    items="distinct",
    features=(
        *_amounts("customer"),
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
)

TERMINAL_PAYMENTS = View(
    name="terminal_payments",
    rows=Kind.PAYMENT,
    measure="amount_minor",
    time="event_time",
    item="customer_id",
    items="distinct",
    features=(
        *_amounts("terminal"),
        Feature(name="terminal_customers_24h", aggregation=Distinct(), window=DAY),
        Feature(name="terminal_customers_7d", aggregation=Distinct(), window=WEEK),
    ),
)

TERMINAL_LABELS = View(
    name="terminal_labels",
    rows=Kind.LABEL,
    measure="label",
    time="label_time",
    item="transaction_id",
    items="replace",
    features=tuple(
        Feature(name=f"terminal_{noun}_{w.label}", aggregation=aggregation, window=w)
        for noun, aggregation in (("labels", Count()), ("frauds", Sum()))
        for w in (LABEL_DAY, WEEK, MONTH)
    ),
)

CUSTOMER = Entity(name="customer", join_key="customer_id", views=(CUSTOMER_PAYMENTS,))
TERMINAL = Entity(name="terminal", join_key="terminal_id", views=(TERMINAL_PAYMENTS, TERMINAL_LABELS))

CUSTOMER_PROFILE = BatchView(
    name="customer_profile",
    join_key="customer_id",
    columns=(
        "profile_amount_mean", "profile_amount_std", "profile_payments_per_day", "profile_night_share",
        "profile_terminals",
    ),
    max_age_ms=8 * DAY_MS,
)  # fmt: skip


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What one model is given: groups of columns in the vector's order."""

    name: str
    event: tuple[str, ...]
    customer: tuple[str, ...]
    terminal: tuple[str, ...]
    profile: tuple[str, ...]
    derived: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the model's inputs, in order."""
        return self.event + self.customer + self.terminal + self.profile + self.derived

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Where each column comes from."""
        return {
            "event": self.event, "customer": self.customer, "terminal": self.terminal,
            "profile": self.profile, "derived": self.derived,
        }  # fmt: skip


SERVICE = Service(
    name="fraud_v1",
    event=("amount_minor", "hour_of_day", "is_night", "is_weekend"),
    customer=CUSTOMER.columns,
    terminal=TERMINAL.columns,
    profile=CUSTOMER_PROFILE.columns,
    derived=(
        "customer_amount_ratio_30d", "customer_amount_zscore_30d", "customer_frequency_ratio_24h",
        "terminal_amount_ratio_30d", "terminal_frequency_ratio_24h",
        "terminal_fraud_ratio_1d", "terminal_fraud_ratio_7d", "terminal_fraud_ratio_30d",
    ),
)  # fmt: skip

DEFINITIONS_HASH = definitions_hash(CUSTOMER, TERMINAL, CUSTOMER_PROFILE, SERVICE)
ENTITIES = (CUSTOMER, TERMINAL)
