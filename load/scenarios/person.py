"""The person in the loop: what is promoted when, by declared rules and on matured figures alone."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from contracts.events import Quality


class Releases(Protocol):
    """The registry, as far as the person acts on it."""

    def promote(self, model: str, why: str) -> None:
        """Make a version the champion."""

    def shadow(self, model: str, why: str) -> bool:
        """Let a version score every payment and decide none; return False where there are no shadows."""


class Act(NamedTuple):
    """What was done: `promote` or `shadow`, with which version, at which event time."""

    what: str
    model: str
    at_ms: int


class Person:
    """Promotes the first model at once, others after they were better in shadow.

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
        if not self.champion:
            self._promote(model, at_ms, "the first model")
            return
        if self._releases.shadow(model, "to be compared on live payments"):
            self.acts.append(Act("shadow", model, at_ms))
        else:
            self._promote(model, at_ms, "a challenger trained on the newest labels")

    def _compare(self, told: Sequence[Quality]) -> None:
        windows = [r for r in told if r.kind == "matured" and r.counts["frauds"] >= self._frauds_min]
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
        return shadow.counts["payments"] >= 0.9 * decided.counts["payments"]

    def _promote(self, model: str, at_ms: int, why: str) -> None:
        before = self.champion
        self._releases.promote(model, why)
        self.champion = model
        self.acts.append(Act("promote", model, at_ms))
        if before:
            self._releases.shadow(before, "to see what it would have done")
