"""Which faults strike and when: a budget a run, spent where the schedule allows, all from the seed."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError

from contracts import crash_points
from tests.simulation.broker import fault


class Weather(NamedTuple):
    """How bad a run's times are; each is a probability."""

    step: float = 0.0
    delivery: float = 0.0
    transaction: float = 0.0
    store: float = 0.0
    raised: float = 0.0  # at one of the points below, where Python or a library calls a worker
    raised_at: tuple[str, ...] = ()


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "MemoryError": lambda: MemoryError("simulated"), "TypeError": lambda: TypeError("simulated"),
    "OSError": lambda: OSError(28, "simulated"), "KafkaException": lambda: fault(KafkaError._FAIL),
}  # fmt: skip
EXCEPTIONS_MAX = 3  # a run
THREADS = ("stage.outputs_thread", "stage.store_thread")  # these may also die of a SystemExit, silently
POINTS = tuple(point for point in (*crash_points.POINTS, *crash_points.SEAM_POINTS)
               if point.partition(".")[0] in ("gate", "stage"))  # fmt: skip
CALM = Weather()


def weather_of(rng: random.Random) -> tuple[Weather, int]:
    """Draw a run's weather and its budget of faults: some runs have none, some only one kind."""
    if rng.random() < 0.04:
        return CALM, 0
    bad = Weather(
        step=rng.choice((0.002, 0.006, 0.015)), delivery=rng.choice((0.0, 0.02, 0.06)),
        transaction=rng.choice((0.0, 0.05, 0.15)), store=rng.choice((0.0, 0.03, 0.1)),
        raised=rng.choice((0.0, 0.0, 0.1, 0.4)), raised_at=tuple(rng.sample(POINTS, rng.randint(1, 3))),
    )  # fmt: skip
    return bad, rng.randint(1, 9)


class Faults:
    """Decides, and counts what struck."""

    def __init__(self, rng: random.Random, weather: Weather, budget: int) -> None:
        self.rng, self.weather, self.budget = rng, weather, budget
        self.raises = EXCEPTIONS_MAX  # beside the budget, or the other faults would become rarer
        self.struck: Counter[str] = Counter()

    def strikes(self, probability: float, kind: str) -> bool:
        """Return whether a fault strikes now; it costs one of the budget."""
        if self.budget <= 0 or self.rng.random() >= probability:
            return False
        self.budget -= 1
        self.struck[kind] += 1
        return True

    def exception(self, point: str) -> BaseException | None:
        """Return the exception to raise where a worker passes a point, None for none."""
        if not self.raises or point not in self.weather.raised_at or self.rng.random() >= self.weather.raised:
            return None
        self.raises -= 1
        self.struck[f"raised at {point}"] += 1
        kinds = dict(EXCEPTIONS)
        if point in THREADS:
            kinds["SystemExit"] = SystemExit
        kind = self.rng.choice(sorted(kinds))
        self.struck[kind] += 1
        return kinds[kind]()

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
