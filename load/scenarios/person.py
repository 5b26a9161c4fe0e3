"""The person in the loop: what is promoted when, by declared rules and on matured figures alone."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from contracts.errors import ModelError
from contracts.events import Quality
from inference.release.release import Stage


class Releases(Protocol):
    """The registry, as far as the person acts on it."""

    def move(self, model: str, to: Stage, why: str, *, force: bool = False) -> None:
        """Take a version to a stage; `force` passes its gates by.

        Raises:
            ModelError: E_GATE_REFUSED, or whatever else is in the way.
        """


class Act(NamedTuple):
    """What was done: `promote`, `shadow` or `refused`, with which version, at which event time, and why."""

    what: str
    model: str
    at_ms: int
    why: str


class Person:
    """Promotes the first model at once, others after they were better in shadow, if their gates hold.

    Args:
        frauds_min: so many frauds must be known of either before two are compared.
        gain_min: by so much average precision a shadow must be better, on the same window.
    """

    def __init__(self, releases: Releases, frauds_min: int = 20, gain_min: float = 0.02) -> None:
        self._releases, self._frauds_min, self._gain_min = releases, frauds_min, gain_min
        self.champion = ""
        self.acts: list[Act] = []

    def hear(self, told: Sequence[Quality]) -> list[Act]:
        """Act on what the learner said, and return what was done."""
        before = len(self.acts)
        for record in told:
            if record.kind == "training" and record.code == "T_CANDIDATE":
                self._candidate(str(record.model), record.at)
        self._compare(told)
        return self.acts[before:]

    def _candidate(self, model: str, at_ms: int) -> None:
        if self.champion:
            self._move("shadow", model, at_ms, "to be compared on live payments")
        else:
            self._promote(model, at_ms, "the first model")

    def _compare(self, told: Sequence[Quality]) -> None:
        windows = [r for r in told if r.kind == "matured" and r.counts["positives"] >= self._frauds_min]
        for shadow in (r for r in windows if r.stage == "shadow" and "average_precision" in r.figures):
            decided = next(
                (
                    r for r in windows
                    if r.stage == "champion" and r.model == self.champion and r.at == shadow.at
                    and r.window_days == shadow.window_days and "average_precision" in r.figures
                ),
                None,
            )  # fmt: skip
            if decided is None or shadow.model == self.champion:
                continue
            gain = shadow.figures["average_precision"] - decided.figures["average_precision"]
            if gain >= self._gain_min and self._same_payments(shadow, decided):
                self._promote(str(shadow.model), shadow.at, f"{gain:+.3f} average precision in shadow")
                return

    def _same_payments(self, shadow: Quality, decided: Quality) -> bool:
        """Return whether the shadow has scored nearly all that the champion has: else they differ by luck."""
        return shadow.counts["events"] >= 0.9 * decided.counts["events"]

    def _promote(self, model: str, at_ms: int, why: str) -> None:
        before = self.champion
        if not self._move("promote", model, at_ms, why):
            return
        self.champion = model
        if before:  # it is worse, and its gates would say so
            self._releases.move(before, "shadow", "to see what it would have done", force=True)

    def _move(self, what: str, model: str, at_ms: int, why: str) -> bool:
        """Do it and note it; or note that it was refused, and say so with False."""
        try:
            self._releases.move(model, "champion" if what == "promote" else "shadow", why)
        except ModelError as error:
            self.acts.append(Act("refused", model, at_ms, str(error)))
            return False
        self.acts.append(Act(what, model, at_ms, why))
        return True
