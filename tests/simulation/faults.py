"""Which faults strike and when: a budget a run, spent where the schedule allows, all from the seed."""

import random
from collections import Counter
from typing import Any, NamedTuple


class Weather(NamedTuple):
    """How bad a run's times are; each is a probability."""

    step: float = 0.0
    delivery: float = 0.0
    transaction: float = 0.0
    store: float = 0.0


CALM = Weather()


def weather_of(rng: random.Random) -> tuple[Weather, int]:
    """Draw a run's weather and its budget of faults: some runs have none, some only one kind."""
    if rng.random() < 0.04:
        return CALM, 0
    bad = Weather(
        step=rng.choice((0.002, 0.006, 0.015)), delivery=rng.choice((0.0, 0.02, 0.06)),
        transaction=rng.choice((0.0, 0.05, 0.15)), store=rng.choice((0.0, 0.03, 0.1)),
    )  # fmt: skip
    return bad, rng.randint(1, 9)


class Faults:
    """Decides, and counts what struck."""

    def __init__(self, rng: random.Random, weather: Weather, budget: int) -> None:
        self.rng, self.weather, self.budget = rng, weather, budget
        self.struck: Counter[str] = Counter()

    def strikes(self, probability: float, kind: str) -> bool:
        """Return whether a fault strikes now; it costs one of the budget."""
        if self.budget <= 0 or self.rng.random() >= probability:
            return False
        self.budget -= 1
        self.struck[kind] += 1
        return True

    def delivery(self, followed: bool) -> str:
        """Return what becomes of a produce request: it arrives, is lost, or only its answer is.

        Rather one with others of its lane behind it: those make a gap.
        """
        odds = self.weather.delivery * (3 if followed else 1)
        if not self.strikes(odds, "produce failed"):
            return "arrives"
        return self.rng.choice(("lost", "lost", "answer_lost"))

    def end_of_transaction(self, producer: Any) -> str:
        """Return what becomes of a commit: it arrives, it comes later, or only its answer is lost."""
        if not self.strikes(self.weather.transaction, "commit unknown"):
            return "arrives"
        return self.rng.choice(("delayed", "delayed", "answer_lost"))
