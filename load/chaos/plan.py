"""What a chaos run is: all of it follows from the seed, but for when the machine obeys."""

from dataclasses import dataclass
from typing import Any

from feature_repo.generator.plan import FraudPlan, PaymentPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    """One run.

    Args:
        seed: draws the load, the faults and their moments.
        minutes: how long the load lasts; starting, settling and judging come on top.
        rate: records a second, payments and labels together, whatever happens downstream.
        faults: kinds of fault to draw from; all of them when empty.
        faults_max: strike no more than these, and end the load once they are over.
        patience_s: how long a run may stand still before it is given up and judged as it is.
        partitions: of each topic.
        malformed_ratio: broken records, as a share of the payments.
        conflict_ratio: payments that come again with other content under their id.
        reworded_ratio: payments that come again with the same content in other bytes.
        ancient_ratio: payments older than every window.
        late_ratio: records that come out of order. repeat_ratio: those that come again as they were.
    """

    seed: int
    minutes: float = 3.0
    rate: float = 400.0
    faults: tuple[str, ...] = ()
    faults_max: int | None = None
    patience_s: float = 90.0
    partitions: int = 3
    malformed_ratio: float = 0.03
    conflict_ratio: float = 0.01
    reworded_ratio: float = 0.005
    ancient_ratio: float = 0.005
    late_ratio: float = 0.03
    repeat_ratio: float = 0.02

    @property
    def seconds(self) -> float:
        """Return how long the load lasts."""
        return self.minutes * 60.0

    @property
    def records(self) -> int:
        """Return how many records are sent."""
        return max(100, round(self.seconds * self.rate))

    def payments(self) -> PaymentPlan:
        """Return the workload behind it: more payments than are needed, since labels share the rate."""
        return PaymentPlan(
            seed=self.seed, events=self.records, customers=600, terminals=240, days=90.0,
            late_ratio=self.late_ratio, duplicate_ratio=self.repeat_ratio, fraud=FraudPlan(ratio=0.03),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {"minutes": self.minutes, "rate": self.rate, "partitions": self.partitions}
