"""Incidents: alerts that have one cause are told as one, with members, from its opening to its close.

What moves together has a source in common: events, labels or the batch profile; scores, decisions and
errors follow from any of them. An alert joins the open incident that shares a source with it and had its
newest member not long before; else it opens one. So does the practice of those who watch servers: group by
what is shared and by time, tell the group, and keep it open until it has been quiet for a while.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from contracts.events import Drift, DriftMember
from inference.drift.events import ALL, DriftEvent, Place

OUTCOMES = frozenset({"score", "decision", "refused", "error"})  # what follows from features
_NAMED = ("labels", "events", "profile")  # the first of these names what comes of several
_WHAT_TO_DO = {
    "events": "look at the members: what events hold has changed. Ask the producer of the member that"
    " moved first (releases, units, `headrace verify`); if it is real, train on data that has it"
    " (`headrace train`)",
    "labels": "look at when labels came (topic `labels`, `headrace doctor`): a source that stopped, or sent"
    " many at once, moves every feature of labels",
    "profile": "look at the batch view's age and at its last run (`headrace materialize`)",
    "outcome": "look for inputs that moved since then, for a new model, and at which rules hit; if there are"
    " none, wait for labels, and train again when quality falls (`headrace train`)",
    "error": "train on the newest labels (`headrace train`) and compare with the champion on equal events"
    " (`headrace models compare`)",
}

SourcesOf = Callable[[str], frozenset[str]]


def _of_nothing(_feature: str) -> frozenset[str]:
    return frozenset()


class Incident:
    """One that is open: its members by (detector, feature), and which of them are over their limit."""

    def __init__(self, number: str, source: str, sources: frozenset[str], at_ms: int) -> None:
        self.id, self.source, self.sources = number, source, sources
        self.at_ms = self.newest_ms = at_ms
        self.members: dict[tuple[str, str], DriftMember] = {}
        self.over: set[tuple[str, str]] = set()

    def take(self, alert: DriftEvent, sources: frozenset[str], at_ms: int) -> None:
        """Take an alert in as a member, or as what a member says now; `sources` are its feature's."""
        key = (alert.detector, alert.feature)
        if key not in self.members:
            self.newest_ms = at_ms
            self.sources |= sources
        self.members[key] = DriftMember(
            feature=alert.feature, detector=alert.detector, what=alert.what, at=alert.at, since=alert.since,
            statistic=alert.statistic, limit=alert.limit, from_mean=alert.from_mean, to_mean=alert.to_mean,
        )  # fmt: skip
        self.over.add(key)


class Incidents:
    """The open incidents of one partition, in memory as its detectors are; all times are event times.

    Args:
        within_ms: an alert joins what had its newest member so long before, at most; an incident closes when
            no member has been over its limit for as long.
        sources_of: of what a feature is made (`Reaches.sources_of`).
    """

    def __init__(self, place: Place, within_ms: int, sources_of: SourcesOf = _of_nothing) -> None:
        self._place, self._within_ms, self._sources_of = place, within_ms, sources_of
        self._open: list[Incident] = []
        self._quiet_ms: dict[str, int] = {}  # since when no member of an open incident is over its limit

    def grouped(self, events: Sequence[DriftEvent], at_ms: int) -> list[DriftEvent]:
        """Return records with their incidents named, and those of incidents that opened or closed."""
        told: list[DriftEvent] = []
        for event in events:
            when_ms = event.at if isinstance(event.at, int) else at_ms
            told += self._closed(when_ms) if self._quiet_ms else []
            told += self._alert(event, when_ms) if event.kind == "alert" else self._cleared(event, when_ms)
        return told + self._closed(at_ms) if self._quiet_ms else told

    def _alert(self, alert: DriftEvent, at_ms: int) -> list[DriftEvent]:
        key = (alert.detector, alert.feature)
        found = next((one for one in reversed(self._open) if key in one.members), None)
        found = found or self._related(alert, at_ms)
        told: list[DriftEvent] = []
        if found is None:
            found = self._opened(alert, at_ms)
            told.append(self._record(found, "opened", alert, at_ms))
        found.take(alert, self._sources_of(alert.feature), at_ms)
        self._quiet_ms.pop(found.id, None)
        return [*told, msgspec.structs.replace(alert, incident=found.id)]

    def _related(self, alert: DriftEvent, at_ms: int) -> Incident | None:
        """Return the newest open incident with a source in common; an outcome may follow from any."""
        near = [one for one in reversed(self._open) if at_ms - one.newest_ms <= self._within_ms]
        sources = self._sources_of(alert.feature)
        shared = [one for one in near if one.sources & sources or not (one.sources and sources)]
        return min(shared, key=lambda one: "events" not in one.sources, default=None)

    def _opened(self, alert: DriftEvent, at_ms: int) -> Incident:
        sources = self._sources_of(alert.feature)
        source = source_of(alert, sources)
        moment = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
        number = f"{source}/{self._place.model[-48:]}/{self._place.partition}/{moment}"
        taken = sum(one.id.startswith(number) for one in self._open)
        incident = Incident(f"{number}/{taken + 1}" if taken else number, source, sources, at_ms)
        self._open.append(incident)
        return incident

    def _cleared(self, event: DriftEvent, at_ms: int) -> list[DriftEvent]:
        key = (event.detector, event.feature)
        for one in self._open:
            if key in one.over:
                one.over.discard(key)
                if not one.over:
                    self._quiet_ms[one.id] = at_ms
                return [msgspec.structs.replace(event, incident=one.id)]
        return [event]

    def _closed(self, at_ms: int) -> list[DriftEvent]:
        """Close what has been quiet for long enough by a moment; it closed when that was so."""
        within_ms = self._within_ms
        over = [one for one in self._open if at_ms - self._quiet_ms.get(one.id, at_ms) >= within_ms]
        over.sort(key=lambda one: self._quiet_ms[one.id])
        for one in over:
            self._open.remove(one)
        return [self._record(one, "closed", None, self._quiet_ms.pop(one.id) + within_ms) for one in over]

    def _record(self, one: Incident, state: str, first: DriftEvent | None, at_ms: int) -> DriftEvent:
        if first is not None:
            one.take(first, self._sources_of(first.feature), at_ms)
        members = list(one.members.values())
        since = [member.since for member in members if isinstance(member.since, int)]
        return Drift(
            kind="incident", what=ALL, detector=ALL, feature=one.source, partition=self._place.partition,
            model=self._place.model, at=at_ms, since=min(since, default=one.at_ms), incident=one.id,
            state="opened" if state == "opened" else "closed", members=members,
            what_to_do=_WHAT_TO_DO[one.source] if state == "opened" else "nothing: it has been quiet",
        )  # fmt: skip


def source_of(alert: DriftEvent, sources: frozenset[str]) -> str:
    """Return the one word for where an alert comes from, whose feature is made of these sources.

    >>> from inference.drift.events import cleared
    >>> source_of(cleared(Place(0, ""), "score", "score", "psi", 0), frozenset())
    'outcome'
    """
    if alert.what == "error":
        return "error"
    if sources:
        return next(name for name in _NAMED if name in sources)
    return "outcome" if alert.feature in OUTCOMES else "events"
