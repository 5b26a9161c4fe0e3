"""Card payments: which are fraud, by what their customer and their terminal did before."""

from headrace import (
    Decision,
    Entity,
    Model,
    Project,
    Source,
    batch_view,
    col,
    count,
    distinct,
    last_of,
    max_of,
    mean_of,
    min_of,
    positives,
    ratio,
    since_last,
    std_of,
    sum_of,
    view,
)

payments = Source("contracts/transactions.yaml")
labels = Source("contracts/labels.yaml", labels=payments, positive=col("label") == "fraud")

customer, terminal = Entity("customer_id"), Entity("terminal_id")

customer_payments = view(
    customer, payments, name="customer_payments", prefix="customer", rows_max=8_192,
    features=[
        count("1h 24h 7d 30d"),
        mean_of("amount_minor", "1h 24h 7d 30d", name="customer_amount_mean"),
        sum_of("amount_minor", "24h", name="customer_amount_sum"),
        max_of("amount_minor", "24h", name="customer_amount_max"),
        max_of("amount_minor", "30d", before=True, name="customer_amount_max"),
        min_of("amount_minor", "30d", before=True, name="customer_amount_min"),
        mean_of("amount_minor", "30d", before=True, name="customer_amount_mean"),
        std_of("amount_minor", "30d", before=True, name="customer_amount_std"),
        distinct("terminal_id", "24h 30d", name="customer_terminals"),
        last_of("amount_minor", name="customer_last_amount"),
        since_last(name="customer_ms_since_last"),
    ],
)  # fmt: skip
terminal_payments = view(
    terminal, payments, name="terminal_payments", prefix="terminal",
    features=[
        count("1h 24h 7d 30d"),
        mean_of("amount_minor", "1h 24h 7d 30d", name="terminal_amount_mean"),
        distinct("customer_id", "24h 7d", name="terminal_customers"),
    ],
)  # fmt: skip
terminal_labels = view(
    terminal, labels, name="terminal_labels", prefix="terminal",
    features=[
        count("1d 7d 30d", name="terminal_labels"),
        positives("1d 7d 30d", name="terminal_frauds"),
    ],
)  # fmt: skip
customer_profile = batch_view(
    customer, "sql/customer_profile.sql", name="customer_profile", max_age="8d",
    columns=[
        "profile_amount_mean", "profile_amount_std", "profile_payments_per_day", "profile_night_share",
        "profile_terminals",
    ],
)  # fmt: skip

amount, usual = col("amount_minor"), col("customer_amount_mean_30d_before")
fraud = Model(
    "fraud_v1",
    event=["amount_minor", "hour_of_day", "is_night", "is_weekend"],
    views=[customer_payments, terminal_payments, terminal_labels, customer_profile],
    derived={
        "customer_amount_ratio_30d": ratio(amount, usual),
        "customer_amount_zscore_30d": ratio(amount - usual, col("customer_amount_std_30d_before")),
        "customer_frequency_ratio_24h": ratio(col("customer_count_24h") * 30, col("customer_count_30d")),
        "terminal_amount_ratio_30d": ratio(amount, col("terminal_amount_mean_30d")),
        "terminal_frequency_ratio_24h": ratio(col("terminal_count_24h") * 30, col("terminal_count_30d")),
        "terminal_fraud_ratio_1d": ratio(col("terminal_frauds_1d"), col("terminal_labels_1d")),
        "terminal_fraud_ratio_7d": ratio(col("terminal_frauds_7d"), col("terminal_labels_7d")),
        "terminal_fraud_ratio_30d": ratio(col("terminal_frauds_30d"), col("terminal_labels_30d")),
    },
    label=labels,
    watched=["amount_minor", "customer_count_24h", "terminal_fraud_ratio_7d"],
)

project = Project(
    "payments",
    feast_name="headrace",
    scored=payments,
    chain=[customer, terminal],
    models=[fraud],
    decisions=[Decision("approve"), Decision("review", queue=True), Decision("decline", stops=True)],
    money="amount_minor",
)
