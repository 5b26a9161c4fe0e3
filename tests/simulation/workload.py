"""What producers publish: payments, repeats, conflicts, late ones and ones ahead, labels, broken records."""

import json
import random
from typing import Any

from tests.simulation.published import Published

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Workload:
    """Draws a run's records.

    Args:
        partitions: of `transactions` and of `labels`.
    """

    def __init__(self, rng: random.Random, partitions: int) -> None:
        self.rng, self.partitions = rng, partitions
        self.odd = random.Random(str(rng.getstate()[1][:8]))  # draws that move none of the run's others
        self.customers = [f"c{n}" for n in range(rng.randint(1, 4))]
        self.terminals = [f"m{n}" for n in range(rng.randint(1, 3))]
        self.by_key = rng.random() < 0.5
        self.made: list[dict[str, Any]] = []
        self.time_ms = START_MS

    def records(self, count: int) -> list[Published]:
        """Return the records of the run, in the order in which they are published."""
        return [self._next() for _ in range(count)]

    def probes(self) -> list[Published]:
        """Return a payment for each customer and terminal: it shows all that their state holds."""
        pairs = {(c, self.rng.choice(self.terminals)) for c in self.customers}
        pairs |= {(self.rng.choice(self.customers), t) for t in self.terminals}
        return [self._publish(self._payment(*pair)) for pair in sorted(pairs)]

    def _next(self) -> Published:
        draw = self.rng.random()
        if draw < 0.1 and self.made:
            return self._publish(dict(self.rng.choice(self.made)))
        if draw < 0.16 and self.made:
            return self._publish(self.rng.choice(self.made) | {"amount_minor": self.rng.randint(1, 999)})
        if draw < 0.32 and self.made:
            return self._label()
        if draw < 0.42:
            return self._broken()
        payment = self._payment(self.rng.choice(self.customers), self.rng.choice(self.terminals))
        self.made.append(payment)
        return self._publish(payment)

    def _payment(self, customer: str, terminal: str) -> dict[str, Any]:
        self.time_ms += self.rng.randint(1, 40) * 60_000
        late_ms = 0
        if self.rng.random() < 0.2:
            late_ms = self.rng.choice((HOUR_MS // 2, 5 * HOUR_MS, 40 * 24 * HOUR_MS))
        ahead_ms = self.odd.choice((40 * DAY_MS, 1500 * DAY_MS)) if self.odd.random() < 0.1 else 0
        return {
            "transaction_id": f"t{len(self.made)}-{self.rng.randint(0, 10**6)}",
            "event_time": self.time_ms - late_ms + ahead_ms, "customer_id": customer, "terminal_id": terminal,
            "amount_minor": self.rng.randint(0, 99_999), "currency": "EUR",
        }  # fmt: skip

    def _label(self) -> Published:
        payment = self.rng.choice(self.made)
        label = {
            name: payment[name] for name in ("transaction_id", "customer_id", "terminal_id", "event_time")
        }
        label |= {
            "label": self.rng.choice(("fraud", "legitimate")), "source": "chargeback",
            "label_time": self.time_ms + self.rng.randint(0, 3) * HOUR_MS,
        }  # fmt: skip
        if self.odd.random() < 0.2:  # delivered late, behind newer ones
            label["label_time"] -= 5 * HOUR_MS
        if self.rng.random() < 0.15:
            del label["source"]
        return Published(
            "labels", self.rng.randrange(self.partitions), label["transaction_id"].encode(), _json(label)
        )

    def _broken(self) -> Published:
        payment = self._payment(self.rng.choice(self.customers), self.rng.choice(self.terminals))
        published = self._publish(payment)
        match self.rng.randrange(5):
            case 0:
                return published._replace(value=(published.value or b"")[:-1])
            case 1:
                return published._replace(key=None)
            case 2:
                return published._replace(key=b"somebody else")
            case 3:
                wrong = {"currency": "USD"} if self.odd.random() < 0.5 else {"amount_minor": -5}
                return published._replace(value=_json(payment | wrong))
            case _:
                return published._replace(value=None)

    def _publish(self, payment: dict[str, Any]) -> Published:
        customer = payment["customer_id"]
        partition = self.rng.randrange(self.partitions)
        if self.by_key:
            partition = int(customer[1:]) % self.partitions
        return Published("transactions", partition, customer.encode(), _json(payment))


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
