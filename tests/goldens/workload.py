"""Draws the workload whose values are the goldens: plain rows in the order of the stages' input logs.

The rows are kept in tests/goldens/payments/inputs.parquet; this says how they were made, and what is in them:
late and ancient payments, ones dated far ahead, ties in time, repeats, ids used again by the same customer
and by others, labels before and after their payment, labels that replace others, texts that are not ASCII.
A step is what one input partition brings at once; payments and labels never share one, so that an adapter
may put them into batches of one kind or of several without changing an order.
"""

import random
from typing import Any

from contracts.frame import strings
from contracts.keys import partition_of

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = 1_525_132_800_000  # 2018-05-01
PARTITIONS = 2
SIZES = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 144, 377)
LARGEST = 2000
Row = dict[str, Any]


class Workload:
    """One draw of payments and labels.

    Args:
        count: payments to draw, repeats and ids used again among them.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.rng = random.Random(seed)
        self.count = count
        self.now_ms = START_MS
        self.payments: list[Row] = []
        names = [f"c{number:03d}" for number in range(400)]
        owner = partition_of(strings(names), PARTITIONS).tolist()
        by_partition = [[n for n, p in zip(names, owner, strict=True) if p == mine] for mine in range(2)]
        self.customers = [*by_partition[0][:56], *by_partition[1][:13], "c-é", "c-日本"]
        self.terminals = [f"t{number:02d}" for number in range(28)] + ["t-ü"]

    def rows(self) -> tuple[list[Row], int]:
        """Return the rows in log order, each with its step, and the number of steps."""
        for _ in range(self.count):
            self.payments.append(self._payment())
        labels = sorted(self._labels(), key=lambda row: row["appended_ms"])
        events = self.payments + labels
        events.sort(key=lambda row: (row["appended_ms"], row["kind"]))
        return in_steps(events, self.rng)

    def _payment(self) -> Row:
        rng = self.rng
        if rng.random() < 0.12:  # the very millisecond of the one before
            gap_ms = 0
        elif rng.random() < 0.3:
            gap_ms = rng.randint(1, 30_000)
        else:
            gap_ms = int(rng.expovariate(1 / (24 * MINUTE_MS)))
        self.now_ms += gap_ms
        draw = rng.random()
        if self.payments and draw < 0.05:
            return self._again(draw)
        row = {
            "kind": "payment", "transaction_id": f"x{len(self.payments):05d}", "event_time": self._time_ms(),
            "customer_id": self._customer(), "terminal_id": self._terminal(),
            "amount_minor": self._amount(), "currency": "EUR", "channel": rng.choice(("pos", "web", None)),
            "country": rng.choice(("BE", "NL", None)),
        }  # fmt: skip
        if self.payments and draw < 0.07:  # an id that another customer has used
            row["transaction_id"] = rng.choice(self.payments)["transaction_id"]
        return row | {"appended_ms": self.now_ms + 5}

    def _again(self, draw: float) -> Row:
        """Return an earlier payment again: the same, or with other content, a day within or beyond."""
        old = self.rng.choice(self.payments[-40:] if draw < 0.04 else self.payments)
        row = dict(old) | {"appended_ms": self.now_ms + 5}
        if draw > 0.025:
            row |= {"amount_minor": row["amount_minor"] + 1, "channel": "web"}
        if draw > 0.045:
            row["event_time"] = self.now_ms
        return row

    def _time_ms(self) -> int:
        rng, draw = self.rng, self.rng.random()
        if draw < 0.06:
            return self.now_ms - rng.randint(1, 6 * HOUR_MS)
        if draw < 0.08:
            return self.now_ms - rng.randint(6 * HOUR_MS, 20 * DAY_MS)
        if draw < 0.086:
            return self.now_ms - rng.randint(40 * DAY_MS, 500 * DAY_MS)
        if draw < 0.088:
            return self.now_ms + rng.choice((3 * DAY_MS, 40 * DAY_MS, 1500 * DAY_MS))
        return self.now_ms - rng.randint(0, 2_000)

    def _customer(self) -> str:
        if self.rng.random() < 0.35:  # a few pay often
            return self.rng.choice(self.customers[:6])
        return self.rng.choice(self.customers)

    def _terminal(self) -> str:
        return self.rng.choice(self.terminals[:4] if self.rng.random() < 0.3 else self.terminals)

    def _amount(self) -> int:
        draw = self.rng.random()
        if draw < 0.01:
            return 0
        if draw < 0.015:
            return self.rng.randint(900_000, 5_000_000)
        return int(self.rng.lognormvariate(8.0, 1.0))

    def _labels(self) -> list[Row]:
        rng, made = self.rng, list[Row]()
        for payment in rng.sample(self.payments, int(0.45 * len(self.payments))):
            bad = payment["amount_minor"] > 9_000 or payment["terminal_id"] in ("t03", "t11")
            label = self._label(payment, int(bad) if rng.random() < 0.9 else 1 - int(bad))
            made.append(label)
            if rng.random() < 0.08:  # an outcome that replaces it, or one that is older and comes later
                known_ms = label["label_time"] + rng.choice((-HOUR_MS, 0, 2 * DAY_MS))
                later_ms = label["appended_ms"] + rng.randint(0, 3 * DAY_MS)
                other = {"label": 1 - label["label"], "label_time": known_ms, "appended_ms": later_ms}
                made.append(label | other)
        for number in range(20):  # of payments that never come
            payment = rng.choice(self.payments) | {"transaction_id": f"never{number}"}
            made.append(self._label(payment, 1))
        return made

    def _label(self, payment: Row, outcome: int) -> Row:
        names = ("transaction_id", "customer_id", "terminal_id", "event_time")
        known_ms = payment["event_time"] + self.rng.randint(HOUR_MS, 12 * DAY_MS)
        arrives_ms = min(max(payment["appended_ms"] - DAY_MS // 2, known_ms), self.now_ms)
        return {name: payment[name] for name in names} | {
            "kind": "label", "label": outcome, "label_time": known_ms, "appended_ms": arrives_ms,
            "source": self.rng.choice(("chargeback", "review", "none")),
        }  # fmt: skip


def in_steps(events: list[Row], rng: random.Random) -> tuple[list[Row], int]:
    """Cut the log into steps of varied size, one partition's payments or labels each; number all rows."""
    found, step, at = list[Row](), 0, 0
    offsets: dict[tuple[str, int], int] = {}
    large = len(events) // 3
    owners = partition_of(strings([event["customer_id"] for event in events]), PARTITIONS).tolist()
    for event, owner in zip(events, owners, strict=True):
        event["source_partition"] = owner if event["kind"] == "payment" else 0
    while at < len(events):
        size = rng.choice(SIZES)
        if large and at >= large:
            size, large = _upto(events[at:], LARGEST), 0
        part = events[at : at + size]
        at += size
        for kind, number in (("payment", 0), ("payment", 1), ("label", 0)):
            mine = [row for row in part if row["kind"] == kind and row["source_partition"] == number]
            for row in mine:
                offset = offsets.get((kind, number), 0)
                offsets[kind, number] = offset + 1
                found.append(row | {"row": len(found), "step": step, "source_offset": offset})
            step += bool(mine)
    return found, step


def _upto(events: list[Row], count: int) -> int:
    """Return how many events hold so many payments of partition 0."""
    seen = 0
    for number, event in enumerate(events, 1):
        seen += event["kind"] == "payment" and event["source_partition"] == 0
        if seen == count:
            return number
    return len(events)


def schedule(steps: int, seed: int) -> list[dict[str, Any]]:
    """Return what holds at each step: do store and model answer, are there a checkpoint and a restart."""
    rng = random.Random(seed)
    return [
        {
            "store": "down" if step % 11 == 5 else "up",
            "model": {3: "absent", 7: "fails"}.get(step % 13, "live"),
            "checkpoint": step % 6 == 4,
            "restore": step in (steps // 4, steps // 2, 3 * steps // 4) or rng.random() < 0.02,
        }
        for step in range(steps)
    ]


def profiles(customers: list[str], steps: int, seed: int) -> list[Row]:
    """Return customers' long-term profiles as the store is given them: some of none, some old, some twice."""
    rng, made = random.Random(seed), list[Row]()
    for customer in customers:
        for part in range(rng.randint(0, 3)):
            step = rng.randrange(steps)
            day = 50 * step // steps - rng.choice((0, 1, 2, 12))
            made.append({
                "step": step, "customer_id": customer, "time_ms": START_MS + day * DAY_MS,
                "values": [rng.lognormvariate(8, 0.3), None if part == 1 else rng.lognormvariate(7, 0.3),
                           round(rng.random() * 4, 6), rng.random(), float(rng.randint(1, 20))],
            })  # fmt: skip
    return sorted(made, key=lambda row: (row["step"], row["customer_id"], row["time_ms"]))
