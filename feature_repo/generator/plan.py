"""What a generated workload is: one frozen plan, from which and from nothing else every byte follows."""

from dataclasses import dataclass, field

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_740_960_000_000  # Monday 2025-03-03 00:00 UTC: a fixed past, so that a plan's bytes never change


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudPlan:
    """How much of the traffic is fraud, of which pattern, and whether the pattern changes on the way.

    `ratio` counts frauds among payments; the three shares split it. After `changes_at_ratio` of the
    time, stolen cards are spent near home in ordinary amounts (times `changed_scale` of what is usual), hours
    (`changed_gap_ms`) apart.
    """

    ratio: float = 0.012
    terminal_share: float = 0.40
    stolen_share: float = 0.35
    testing_share: float = 0.25
    compromised_days: float = 21.0
    compromised_hit_ratio: float = 0.6
    changes_at_ratio: float = 1.0
    changed_gap_ms: int = 3 * HOUR_MS
    changed_scale: tuple[float, float] = (0.7, 1.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlan:
    """When a payment's truth becomes known; every payment gets one label, a few get two."""

    delay_days: float = 7.0
    delay_spread: float = 0.35  # sigma of the delay's logarithm
    delay_days_max: float = 30.0
    analyst_ratio: float = 0.05  # of frauds, known within a day
    corrected_ratio: float = 0.02  # of frauds, called legitimate first; as many others called fraud first


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPlan:
    """A seeded workload of card payments and their labels.

    `events` counts distinct payments; `duplicate_ratio` of them are delivered a second time with the
    same bytes, `late_ratio` arrive up to `late_ms_max` after their event time.

    >>> PaymentPlan(seed=1, events=1_000).duplicates
    5
    """

    seed: int
    events: int
    customers: int = 2_000
    terminals: int = 800
    days: float = 60.0
    start_ms: int = START_MS
    activity_skew: float = 0.8  # weight of a customer = rank ** -skew
    currency: str = "EUR"
    late_ratio: float = 0.01
    late_ms_max: int = 2 * HOUR_MS
    duplicate_ratio: float = 0.005
    optional_fields: bool = True  # channel, country and the personal fields
    fraud: FraudPlan = field(default_factory=FraudPlan)
    labels: LabelPlan = field(default_factory=LabelPlan)

    @property
    def duplicates(self) -> int:
        """Return how many payments are delivered twice."""
        return round(self.events * self.duplicate_ratio)

    @property
    def span_ms(self) -> int:
        """Return how much event time the workload covers."""
        return int(self.days * DAY_MS)
