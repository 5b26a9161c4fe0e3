"""Events as typed Structs, and the contracts' terms as data. Generated: `make contracts`.

A field that may be absent is UNSET when it was not written and None when it was written as null.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.terms import Field, Limits, Terms


class ReviewVerdict(Struct, frozen=True, kw_only=True, gc=False):
    """One verdict."""

    verdict_id: Annotated[str, Meta(min_length=1, max_length=320)]
    case_id: Annotated[str, Meta(min_length=1, max_length=128)]
    transaction_id: Annotated[str, Meta(min_length=1, max_length=64)]
    verdict: Literal["confirmed_fraud", "false_positive", "valuable_alert"]
    who: Annotated[str, Meta(min_length=1, max_length=128)]
    why: Annotated[str, Meta(min_length=1, max_length=1024)]
    decided_at: Annotated[int, Meta(ge=946684800000, le=4102444800000)]


class Transaction(Struct, frozen=True, kw_only=True, gc=False):
    """One payment."""

    transaction_id: Annotated[str, Meta(min_length=1, max_length=64)]
    event_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)]
    terminal_id: Annotated[str, Meta(min_length=1, max_length=64)]
    amount_minor: Annotated[int, Meta(ge=0, le=1099511627776)]
    currency: Literal[
        "AED",
        "AFN",
        "ALL",
        "AMD",
        "ANG",
        "AOA",
        "ARS",
        "AUD",
        "AWG",
        "AZN",
        "BAM",
        "BBD",
        "BDT",
        "BGN",
        "BHD",
        "BIF",
        "BMD",
        "BND",
        "BOB",
        "BRL",
        "BSD",
        "BTN",
        "BWP",
        "BYN",
        "BZD",
        "CAD",
        "CDF",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CRC",
        "CUP",
        "CVE",
        "CZK",
        "DJF",
        "DKK",
        "DOP",
        "DZD",
        "EGP",
        "ERN",
        "ETB",
        "EUR",
        "FJD",
        "FKP",
        "GBP",
        "GEL",
        "GHS",
        "GIP",
        "GMD",
        "GNF",
        "GTQ",
        "GYD",
        "HKD",
        "HNL",
        "HTG",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "IQD",
        "IRR",
        "ISK",
        "JMD",
        "JOD",
        "JPY",
        "KES",
        "KGS",
        "KHR",
        "KMF",
        "KPW",
        "KRW",
        "KWD",
        "KYD",
        "KZT",
        "LAK",
        "LBP",
        "LKR",
        "LRD",
        "LSL",
        "LYD",
        "MAD",
        "MDL",
        "MGA",
        "MKD",
        "MMK",
        "MNT",
        "MOP",
        "MRU",
        "MUR",
        "MVR",
        "MWK",
        "MXN",
        "MYR",
        "MZN",
        "NAD",
        "NGN",
        "NIO",
        "NOK",
        "NPR",
        "NZD",
        "OMR",
        "PAB",
        "PEN",
        "PGK",
        "PHP",
        "PKR",
        "PLN",
        "PYG",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "RWF",
        "SAR",
        "SBD",
        "SCR",
        "SDG",
        "SEK",
        "SGD",
        "SHP",
        "SLE",
        "SOS",
        "SRD",
        "SSP",
        "STN",
        "SVC",
        "SYP",
        "SZL",
        "THB",
        "TJS",
        "TMT",
        "TND",
        "TOP",
        "TRY",
        "TTD",
        "TWD",
        "TZS",
        "UAH",
        "UGX",
        "USD",
        "UYU",
        "UZS",
        "VED",
        "VES",
        "VND",
        "VUV",
        "WST",
        "XAF",
        "XCD",
        "XCG",
        "XOF",
        "XPF",
        "YER",
        "ZAR",
        "ZMW",
        "ZWG",
    ]
    channel: Literal["pos", "ecommerce", "atm", "contactless", "moto", "transfer"] | None | UnsetType = UNSET
    country: Annotated[str, Meta(min_length=2, max_length=2)] | None | UnsetType = UNSET
    device_id: Annotated[str, Meta(min_length=1, max_length=128)] | None | UnsetType = UNSET
    email: Annotated[str, Meta(min_length=3, max_length=254)] | None | UnsetType = UNSET
    ip: Annotated[str, Meta(min_length=2, max_length=45)] | None | UnsetType = UNSET


class ReviewCase(Struct, frozen=True, kw_only=True, gc=False):
    """One payment to look at."""

    case_id: Annotated[str, Meta(min_length=1, max_length=128)]
    transaction_id: Annotated[str, Meta(min_length=1, max_length=64)]
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)]
    terminal_id: Annotated[str, Meta(min_length=1, max_length=64)]
    event_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    amount_minor: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    opened_at: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    why: Literal["decision", "uncertain", "random"]
    decision: Literal["approve", "review", "decline"]
    decided_by: Literal["model", "rule", "fallback", "override"]
    score: Annotated[float, Meta(ge=0, le=1)] | None | UnsetType = UNSET
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None | UnsetType = UNSET
    policy: Annotated[str, Meta(min_length=1, max_length=256)]
    reasons: list[Annotated[str, Meta(min_length=1, max_length=128)]]


class CalibrationBin(Struct, frozen=True, kw_only=True, gc=False):
    """Ten bins of equal width over the score; those without payments are left out."""

    rows: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    score_mean: float
    fraud_share: float


class Quality(Struct, frozen=True, kw_only=True, gc=False):
    """One report, alert or event of the learner."""

    quality_id: Annotated[str, Meta(min_length=1, max_length=512)]
    kind: Literal[
        "matured",
        "labels",
        "label_unmatched",
        "segment",
        "fairness_alert",
        "fairness_cleared",
        "retrain",
        "training",
        "restart",
    ]
    at: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)]
    what: Annotated[str, Meta(min_length=1, max_length=1024)]
    code: Annotated[str, Meta(min_length=1, max_length=64)] | None | UnsetType = UNSET
    what_to_do: Annotated[str, Meta(min_length=1, max_length=1024)] | None | UnsetType = UNSET
    window_days: Annotated[int, Meta(ge=1, le=2147483647)] | None | UnsetType = UNSET
    window_from: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = (
        UNSET
    )
    window_to: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = (
        UNSET
    )
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None | UnsetType = UNSET
    stage: Literal["champion", "challenger", "canary", "shadow"] | None | UnsetType = UNSET
    segment: Annotated[str, Meta(min_length=1, max_length=128)] | None | UnsetType = UNSET
    transaction_id: Annotated[str, Meta(min_length=1, max_length=64)] | None | UnsetType = UNSET
    counts: dict[str, Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)]]
    figures: dict[str, float]
    calibration: list[CalibrationBin] | None | UnsetType = UNSET


class Reason(Struct, frozen=True, kw_only=True, gc=False):
    """Why the payment was not approved, strongest first; empty when approved."""

    code: Annotated[str, Meta(min_length=1, max_length=128)]
    feature: Annotated[str, Meta(min_length=1, max_length=128)] | None | UnsetType = UNSET
    value: float | None | UnsetType = UNSET
    contribution: float | None | UnsetType = UNSET
    text: Annotated[str, Meta(min_length=1, max_length=512)]


class RuleOutcome(Struct, frozen=True, kw_only=True, gc=False):
    """Every declared rule and how it answered."""

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    outcome: Literal["hit", "no_hit", "error"]


class ModelUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The model that scored; absent when none did."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[str, Meta(min_length=1, max_length=128)]
    stage: Literal["champion", "challenger", "canary", "shadow"]
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]


class ShadowScore(Struct, frozen=True, kw_only=True, gc=False):
    """Scores that decided nothing."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    score: Annotated[float, Meta(ge=0, le=1)]


class Experiment(Struct, frozen=True, kw_only=True, gc=False):
    """The canary under way and whose customer this is; absent when there is none."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    arm: Literal["champion", "canary"]
    share_percent: Annotated[float, Meta(ge=0, le=100)]


class FeatureGroup(Struct, frozen=True, kw_only=True, gc=False):
    """Where each group of features came from, by group name."""

    status: Literal["exact", "store", "default", "stale"]
    age_ms: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET


class FeaturesUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The vector that was scored."""

    service: Annotated[str, Meta(min_length=1, max_length=128)]
    definitions_hash: Annotated[str, Meta(min_length=1, max_length=128)]
    values: list[float | None]
    groups: dict[str, FeatureGroup]


class Source(Struct, frozen=True, kw_only=True, gc=False):
    """The payment's place in the log."""

    topic: Annotated[str, Meta(min_length=1, max_length=249)]
    partition: Annotated[int, Meta(ge=0, le=2147483647)]
    offset: Annotated[int, Meta(ge=0, le=9223372036854775807)]


class PolicyUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The decision policy in force; absent in records made before it was told."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[str, Meta(min_length=1, max_length=32)]
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]


class Prediction(Struct, frozen=True, kw_only=True, gc=False):
    """One decision."""

    prediction_id: Annotated[str, Meta(min_length=1, max_length=128)]
    transaction_id: Annotated[str, Meta(min_length=1, max_length=64)]
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)]
    terminal_id: Annotated[str, Meta(min_length=1, max_length=64)]
    event_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    scored_at: Annotated[int, Meta(ge=0, le=9223372036854775807)]
    score: Annotated[float, Meta(ge=0, le=1)] | None | UnsetType = UNSET
    risk_band: Literal["low", "medium", "high", "not_assessed"]
    decision: Literal["approve", "review", "decline"]
    decided_by: Literal["model", "rule", "fallback", "override"]
    reasons: list[Reason]
    rules: list[RuleOutcome]
    model: ModelUsed | None | UnsetType = UNSET
    shadow: list[ShadowScore]
    experiment: Experiment | None | UnsetType = UNSET
    features: FeaturesUsed
    source: Source
    contract: Annotated[str, Meta(min_length=1, max_length=128)]
    degraded: bool
    degraded_why: list[Annotated[str, Meta(min_length=1, max_length=128)]]
    rung: (
        Literal["full", "own_row", "last_known", "rules", "not_assessed", "gatekeeper"] | None | UnsetType
    ) = UNSET
    policy: PolicyUsed | None | UnsetType = UNSET
    latency_ms: dict[str, Annotated[float, Meta(ge=0)]]
    traceparent: Annotated[str, Meta(min_length=55, max_length=55)] | None | UnsetType = UNSET


class Label(Struct, frozen=True, kw_only=True, gc=False):
    """One verdict about one payment."""

    transaction_id: Annotated[str, Meta(min_length=1, max_length=64)]
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)]
    terminal_id: Annotated[str, Meta(min_length=1, max_length=64)]
    label: Literal["fraud", "legitimate"]
    event_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    label_time: Annotated[int, Meta(ge=946684800000, le=4102444800000)]
    source: Literal["chargeback", "analyst", "rule"]


class Drift(Struct, frozen=True, kw_only=True, gc=False):
    """One change found, one that went back, or one start of the detectors."""

    kind: Literal["alert", "cleared", "restart"]
    what: Literal["input", "missingness", "score", "decision", "error", "all"]
    detector: Annotated[str, Meta(min_length=1, max_length=32)]
    feature: Annotated[str, Meta(min_length=1, max_length=128)]
    partition: Annotated[int, Meta(ge=0, le=2147483647)]
    model: Annotated[str, Meta(min_length=0, max_length=256)]
    what_to_do: Annotated[str, Meta(min_length=1, max_length=1024)]
    at: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET
    since: Annotated[int, Meta(ge=-9223372036854775808, le=9223372036854775807)] | None | UnsetType = UNSET
    against: Annotated[str, Meta(min_length=1, max_length=512)] | None | UnsetType = UNSET
    statistic: float | None | UnsetType = UNSET
    limit: float | None | UnsetType = UNSET
    from_mean: float | None | UnsetType = UNSET
    to_mean: float | None | UnsetType = UNSET
    rows: Annotated[int, Meta(ge=0, le=9223372036854775807)] | None | UnsetType = UNSET


TERMS: tuple[Terms, ...] = (
    Terms(
        topic="drift",
        contract="headrace-drift",
        version="1.0.0",
        effective_from_ms=946684800000,
        key_field="detector",
        struct=Drift,
        fields=(
            Field(name="kind", kind="string", required=True, enum=("alert", "cleared", "restart")),
            Field(
                name="what",
                kind="string",
                required=True,
                enum=("input", "missingness", "score", "decision", "error", "all"),
            ),
            Field(name="detector", kind="string", required=True, low=1, high=32),
            Field(name="feature", kind="string", required=True, low=1, high=128),
            Field(name="partition", kind="integer", required=True, low=0, high=2147483647),
            Field(name="model", kind="string", required=True, low=0, high=256),
            Field(name="what_to_do", kind="string", required=True, low=1, high=1024),
            Field(name="at", kind="time", required=False, low=-9223372036854775808, high=9223372036854775807),
            Field(
                name="since", kind="time", required=False, low=-9223372036854775808, high=9223372036854775807
            ),
            Field(name="against", kind="string", required=False, low=1, high=512),
            Field(name="statistic", kind="number", required=False),
            Field(name="limit", kind="number", required=False),
            Field(name="from_mean", kind="number", required=False),
            Field(name="to_mean", kind="number", required=False),
            Field(name="rows", kind="integer", required=False, low=0, high=9223372036854775807),
        ),
    ),
    Terms(
        topic="labels",
        contract="headrace-labels",
        version="1.0.0",
        effective_from_ms=946684800000,
        key_field="transaction_id",
        struct=Label,
        fields=(
            Field(name="transaction_id", kind="string", required=True, low=1, high=64),
            Field(name="customer_id", kind="string", required=True, low=1, high=64),
            Field(name="terminal_id", kind="string", required=True, low=1, high=64),
            Field(name="label", kind="string", required=True, enum=("fraud", "legitimate")),
            Field(name="event_time", kind="time", required=True, low=946684800000, high=4102444800000),
            Field(name="label_time", kind="time", required=True, low=946684800000, high=4102444800000),
            Field(name="source", kind="string", required=True, enum=("chargeback", "analyst", "rule")),
        ),
        limits=Limits(
            value_bytes_max=65536,
            fields_max=256,
            field_bytes_max=4096,
            depth_max=64,
            key_bytes_max=256,
            headers_bytes_max=16384,
            headers_max=256,
            skew_ms=300000,
        ),
    ),
    Terms(
        topic="predictions",
        contract="headrace-predictions",
        version="1.1.0",
        effective_from_ms=946684800000,
        key_field="customer_id",
        struct=Prediction,
        fields=(
            Field(name="prediction_id", kind="string", required=True, low=1, high=128),
            Field(name="transaction_id", kind="string", required=True, low=1, high=64),
            Field(name="customer_id", kind="string", required=True, low=1, high=64),
            Field(name="terminal_id", kind="string", required=True, low=1, high=64),
            Field(name="event_time", kind="integer", required=True, low=946684800000, high=4102444800000),
            Field(name="scored_at", kind="integer", required=True, low=0, high=9223372036854775807),
            Field(name="score", kind="number", required=False, low=0, high=1),
            Field(
                name="risk_band", kind="string", required=True, enum=("low", "medium", "high", "not_assessed")
            ),
            Field(name="decision", kind="string", required=True, enum=("approve", "review", "decline")),
            Field(
                name="decided_by",
                kind="string",
                required=True,
                enum=("model", "rule", "fallback", "override"),
            ),
            Field(name="reasons", kind="other", required=True),
            Field(name="rules", kind="other", required=True),
            Field(name="model", kind="other", required=False),
            Field(name="shadow", kind="other", required=True),
            Field(name="experiment", kind="other", required=False),
            Field(name="features", kind="other", required=True),
            Field(name="source", kind="other", required=True),
            Field(name="contract", kind="string", required=True, low=1, high=128),
            Field(name="degraded", kind="other", required=True),
            Field(name="degraded_why", kind="other", required=True),
            Field(
                name="rung",
                kind="string",
                required=False,
                enum=("full", "own_row", "last_known", "rules", "not_assessed", "gatekeeper"),
            ),
            Field(name="policy", kind="other", required=False),
            Field(name="latency_ms", kind="other", required=True),
            Field(name="traceparent", kind="string", required=False, low=55, high=55),
        ),
    ),
    Terms(
        topic="quality",
        contract="headrace-quality",
        version="1.0.0",
        effective_from_ms=946684800000,
        key_field="kind",
        struct=Quality,
        fields=(
            Field(name="quality_id", kind="string", required=True, low=1, high=512),
            Field(
                name="kind",
                kind="string",
                required=True,
                enum=(
                    "matured",
                    "labels",
                    "label_unmatched",
                    "segment",
                    "fairness_alert",
                    "fairness_cleared",
                    "retrain",
                    "training",
                    "restart",
                ),
            ),
            Field(
                name="at", kind="integer", required=True, low=-9223372036854775808, high=9223372036854775807
            ),
            Field(name="what", kind="string", required=True, low=1, high=1024),
            Field(name="code", kind="string", required=False, low=1, high=64),
            Field(name="what_to_do", kind="string", required=False, low=1, high=1024),
            Field(name="window_days", kind="integer", required=False, low=1, high=2147483647),
            Field(
                name="window_from",
                kind="integer",
                required=False,
                low=-9223372036854775808,
                high=9223372036854775807,
            ),
            Field(
                name="window_to",
                kind="integer",
                required=False,
                low=-9223372036854775808,
                high=9223372036854775807,
            ),
            Field(name="model", kind="string", required=False, low=1, high=256),
            Field(
                name="stage",
                kind="string",
                required=False,
                enum=("champion", "challenger", "canary", "shadow"),
            ),
            Field(name="segment", kind="string", required=False, low=1, high=128),
            Field(name="transaction_id", kind="string", required=False, low=1, high=64),
            Field(name="counts", kind="other", required=True),
            Field(name="figures", kind="other", required=True),
            Field(name="calibration", kind="other", required=False),
        ),
    ),
    Terms(
        topic="reviews",
        contract="headrace-reviews",
        version="1.0.0",
        effective_from_ms=946684800000,
        key_field="transaction_id",
        struct=ReviewCase,
        fields=(
            Field(name="case_id", kind="string", required=True, low=1, high=128),
            Field(name="transaction_id", kind="string", required=True, low=1, high=64),
            Field(name="customer_id", kind="string", required=True, low=1, high=64),
            Field(name="terminal_id", kind="string", required=True, low=1, high=64),
            Field(name="event_time", kind="integer", required=True, low=946684800000, high=4102444800000),
            Field(name="amount_minor", kind="integer", required=True, low=0, high=9223372036854775807),
            Field(name="opened_at", kind="integer", required=True, low=0, high=9223372036854775807),
            Field(name="why", kind="string", required=True, enum=("decision", "uncertain", "random")),
            Field(name="decision", kind="string", required=True, enum=("approve", "review", "decline")),
            Field(
                name="decided_by",
                kind="string",
                required=True,
                enum=("model", "rule", "fallback", "override"),
            ),
            Field(name="score", kind="number", required=False, low=0, high=1),
            Field(name="model", kind="string", required=False, low=1, high=256),
            Field(name="policy", kind="string", required=True, low=1, high=256),
            Field(name="reasons", kind="other", required=True),
        ),
    ),
    Terms(
        topic="transactions",
        contract="headrace-transactions",
        version="1.0.0",
        effective_from_ms=946684800000,
        key_field="customer_id",
        struct=Transaction,
        fields=(
            Field(name="transaction_id", kind="string", required=True, low=1, high=64),
            Field(name="event_time", kind="time", required=True, low=946684800000, high=4102444800000),
            Field(name="customer_id", kind="string", required=True, low=1, high=64),
            Field(name="terminal_id", kind="string", required=True, low=1, high=64),
            Field(name="amount_minor", kind="integer", required=True, low=0, high=1099511627776),
            Field(
                name="currency",
                kind="string",
                required=True,
                enum=(
                    "AED",
                    "AFN",
                    "ALL",
                    "AMD",
                    "ANG",
                    "AOA",
                    "ARS",
                    "AUD",
                    "AWG",
                    "AZN",
                    "BAM",
                    "BBD",
                    "BDT",
                    "BGN",
                    "BHD",
                    "BIF",
                    "BMD",
                    "BND",
                    "BOB",
                    "BRL",
                    "BSD",
                    "BTN",
                    "BWP",
                    "BYN",
                    "BZD",
                    "CAD",
                    "CDF",
                    "CHF",
                    "CLP",
                    "CNY",
                    "COP",
                    "CRC",
                    "CUP",
                    "CVE",
                    "CZK",
                    "DJF",
                    "DKK",
                    "DOP",
                    "DZD",
                    "EGP",
                    "ERN",
                    "ETB",
                    "EUR",
                    "FJD",
                    "FKP",
                    "GBP",
                    "GEL",
                    "GHS",
                    "GIP",
                    "GMD",
                    "GNF",
                    "GTQ",
                    "GYD",
                    "HKD",
                    "HNL",
                    "HTG",
                    "HUF",
                    "IDR",
                    "ILS",
                    "INR",
                    "IQD",
                    "IRR",
                    "ISK",
                    "JMD",
                    "JOD",
                    "JPY",
                    "KES",
                    "KGS",
                    "KHR",
                    "KMF",
                    "KPW",
                    "KRW",
                    "KWD",
                    "KYD",
                    "KZT",
                    "LAK",
                    "LBP",
                    "LKR",
                    "LRD",
                    "LSL",
                    "LYD",
                    "MAD",
                    "MDL",
                    "MGA",
                    "MKD",
                    "MMK",
                    "MNT",
                    "MOP",
                    "MRU",
                    "MUR",
                    "MVR",
                    "MWK",
                    "MXN",
                    "MYR",
                    "MZN",
                    "NAD",
                    "NGN",
                    "NIO",
                    "NOK",
                    "NPR",
                    "NZD",
                    "OMR",
                    "PAB",
                    "PEN",
                    "PGK",
                    "PHP",
                    "PKR",
                    "PLN",
                    "PYG",
                    "QAR",
                    "RON",
                    "RSD",
                    "RUB",
                    "RWF",
                    "SAR",
                    "SBD",
                    "SCR",
                    "SDG",
                    "SEK",
                    "SGD",
                    "SHP",
                    "SLE",
                    "SOS",
                    "SRD",
                    "SSP",
                    "STN",
                    "SVC",
                    "SYP",
                    "SZL",
                    "THB",
                    "TJS",
                    "TMT",
                    "TND",
                    "TOP",
                    "TRY",
                    "TTD",
                    "TWD",
                    "TZS",
                    "UAH",
                    "UGX",
                    "USD",
                    "UYU",
                    "UZS",
                    "VED",
                    "VES",
                    "VND",
                    "VUV",
                    "WST",
                    "XAF",
                    "XCD",
                    "XCG",
                    "XOF",
                    "XPF",
                    "YER",
                    "ZAR",
                    "ZMW",
                    "ZWG",
                ),
            ),
            Field(
                name="channel",
                kind="string",
                required=False,
                enum=("pos", "ecommerce", "atm", "contactless", "moto", "transfer"),
            ),
            Field(name="country", kind="string", required=False, low=2, high=2, letters=True),
            Field(name="device_id", kind="string", required=False, low=1, high=128, personal=True),
            Field(name="email", kind="string", required=False, low=3, high=254, personal=True),
            Field(name="ip", kind="string", required=False, low=2, high=45, personal=True),
        ),
        limits=Limits(
            value_bytes_max=65536,
            fields_max=256,
            field_bytes_max=4096,
            depth_max=64,
            key_bytes_max=256,
            headers_bytes_max=16384,
            headers_max=256,
            skew_ms=300000,
        ),
    ),
    Terms(
        topic="verdicts",
        contract="headrace-verdicts",
        version="1.0.0",
        effective_from_ms=946684800000,
        key_field="transaction_id",
        struct=ReviewVerdict,
        fields=(
            Field(name="verdict_id", kind="string", required=True, low=1, high=320),
            Field(name="case_id", kind="string", required=True, low=1, high=128),
            Field(name="transaction_id", kind="string", required=True, low=1, high=64),
            Field(
                name="verdict",
                kind="string",
                required=True,
                enum=("confirmed_fraud", "false_positive", "valuable_alert"),
            ),
            Field(name="who", kind="string", required=True, low=1, high=128),
            Field(name="why", kind="string", required=True, low=1, high=1024),
            Field(name="decided_at", kind="integer", required=True, low=946684800000, high=4102444800000),
        ),
    ),
)
