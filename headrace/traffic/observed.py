"""What a subscriber saw: every scored record sent, and what came out for it.

Rows are the scored records in the order sent; a slot is a distinct event id, so that a second delivery
shares its slot with the first. Counting is by slot, never by trusting a counter of the service.
"""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.project.running import RunningProject


class SeenDrift(msgspec.Struct):
    """The part of a record of `drift` that is counted."""

    kind: str = ""
    state: str = ""


class SeenModel(msgspec.Struct):
    """The part of a prediction's `model` that is looked at."""

    version: str = ""


class SeenPrediction(msgspec.Struct):
    """The part of a prediction that is looked at; unknown fields are skipped while decoding."""

    event_id: str
    prediction_id: str
    decision: str
    decided_by: str
    risk_band: str = ""
    score: float | None = None
    model: SeenModel | None = None
    degraded: bool = False
    degraded_why: list[str] = []


DECIDERS = ("model", "rule", "fallback", "override", "default", "gatekeeper")


@dataclass(slots=True)
class Outcomes:
    """One value a slot: how many predictions, and the first one's content."""

    count: NDArray[np.int32]
    readable_s: NDArray[np.float64]
    score: NDArray[np.float64]
    decision: NDArray[np.int8]
    decided_by: NDArray[np.int8]
    degraded: NDArray[np.bool_]

    @classmethod
    def of(cls, slots: int) -> "Outcomes":
        """Return outcomes with nothing seen."""
        return cls(
            count=np.zeros(slots, np.int32), readable_s=np.full(slots, np.nan),
            score=np.full(slots, np.nan), decision=np.full(slots, -1, np.int8),
            decided_by=np.full(slots, -1, np.int8), degraded=np.zeros(slots, np.bool_),
        )  # fmt: skip


@dataclass(slots=True)
class SeenDeadLetter:
    """A refused record: where it was, what it was, and why."""

    topic: str
    code: str
    key: bytes | None
    value: bytes | None
    event_id: str


@dataclass(slots=True)
class Observed:
    """Everything seen so far; written by one thread, read by others.

    >>> from features.project.running import project_at
    >>> seen = Observed.of(["t1", "t2", "t1"], project_at("examples/logins"))
    >>> one = SeenPrediction("t1", "p1", "allow", "model", score=0.1)
    >>> seen.add([one], at_s=5.0)
    >>> seen.through(), seen.outcomes.count.tolist(), seen.missing_rows().tolist()
    (1, [1, 0], [1])
    """

    slot_of: dict[str, int]
    slots: NDArray[np.int64]  # (rows,) slot of each row, -1 for a row without an id
    outcomes: Outcomes
    done: NDArray[np.bool_]  # (slots + 1,) predicted or refused; the last one stands for "no id"
    topic: str  # of the scored records, without a run's prefix
    decisions: tuple[str, ...]  # the project's; `outcomes.decision` is a place among them
    dead_letters: dict[tuple[str, int, int], SeenDeadLetter] = field(default_factory=dict)
    strangers: int = 0  # predictions for ids that were never sent
    drift_alerts: int = 0
    drift_incidents: int = 0  # opened
    models: Counter[str] = field(default_factory=Counter)
    degraded_why: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # decision -> a prediction_id
    _through: int = 0

    @classmethod
    def of(cls, ids: list[str], project: RunningProject) -> "Observed":
        """Return a fresh record of what will be seen for these scored records of a project."""
        slot_of: dict[str, int] = {}
        slots = np.array([slot_of.setdefault(i, len(slot_of)) if i else -1 for i in ids], np.int64)
        done = np.zeros(len(slot_of) + 1, np.bool_)
        done[-1] = True
        return cls(
            slot_of=slot_of, slots=slots, outcomes=Outcomes.of(len(slot_of)), done=done,
            topic=project.pipeline.scored.topic, decisions=project.decisions.names,
        )  # fmt: skip

    def add(self, batch: list[SeenPrediction], at_s: float) -> None:
        """Note predictions that became readable at `at_s`."""
        known = [(self.slot_of[seen.event_id], seen) for seen in batch if seen.event_id in self.slot_of]
        self.strangers += len(batch) - len(known)
        out = self.outcomes
        for slot, seen in known:
            out.count[slot] += 1
            if out.count[slot] > 1:
                continue
            out.readable_s[slot] = at_s
            out.score[slot] = np.nan if seen.score is None else seen.score
            out.decision[slot] = _index(self.decisions, seen.decision)
            out.decided_by[slot] = _index(DECIDERS, seen.decided_by)
            out.degraded[slot] = seen.degraded
            self.degraded_why.update(seen.degraded_why)
            self.done[slot] = True
            if seen.decided_by == "model" and seen.decision not in self.examples:
                self.examples[seen.decision] = seen.prediction_id
        self.models.update(seen.model.version for _, seen in known if seen.model is not None)

    def add_drift(self, seen: SeenDrift) -> None:
        """Note a record of `drift`."""
        self.drift_alerts += seen.kind == "alert"
        self.drift_incidents += seen.kind == "incident" and seen.state == "opened"

    def add_dead_letter(self, origin: tuple[str, int, int], letter: SeenDeadLetter) -> None:
        """Note a refused record; the same origin twice is one."""
        self.dead_letters[origin] = letter
        if letter.topic == self.topic and letter.event_id in self.slot_of:
            self.done[self.slot_of[letter.event_id]] = True

    def decided(self) -> dict[str, int]:
        """Return how many events got each decision."""
        of = self.outcomes.decision
        return {name: int((of == place).sum()) for place, name in enumerate(self.decisions)}

    def readable_s(self, rows: slice) -> NDArray[np.float64]:
        """Return when the records of some rows could be read as predictions, NaN for those that were not."""
        return self.outcomes.readable_s[self.slots[rows]]

    def through(self) -> int:
        """Return how many leading rows have their prediction or were refused."""
        while self._through < len(self.slots):
            ahead = self.done[self.slots[self._through : self._through + 4096]]
            stop = len(ahead) if ahead.all() else int(np.argmin(ahead))
            self._through += stop
            if stop < len(ahead):
                break
        return self._through

    def missing_rows(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the rows of [start, stop) that have neither a prediction nor a dead letter."""
        rows = self.slots[start:stop]
        return np.flatnonzero(~self.done[rows]) + start


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1
