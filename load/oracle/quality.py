"""What the learner says, held against what it had read: each record once, every count as the rows give it.

The learner commits, with each report, how far it had read. So what a report must say follows from the log up
to there: the payments of a window and their decisions from `predictions`, each one's ruling label from the
labels of `features.log`, whose content is the raw record's. Of a payment made twice the first counts.
"""

import json
from collections import Counter
from typing import Any, NamedTuple

from load.oracle.dump import Dump
from load.oracle.findings import Findings
from load.oracle.frames import LaneReader
from load.oracle.intake import Origin
from load.oracle.sources import POSITIVE, LinkOracle, ProjectOracle
from load.oracle.stages import LOG, StageWork, ends_of

DAY_MS = 86_400_000
QUALITY, STATE = "quality", "changelog.learner"
Name = tuple[str, ...]  # by which a label knows its event


class Label(NamedTuple):
    """A label as the learner read it: where it stood, whose it is, and what the raw record says."""

    partition: int
    offset: int
    pos: int
    name: Name
    known_ms: int
    row: dict[str, Any]

    @property
    def said(self) -> tuple[Any, ...]:
        """What makes it another label than one before it."""
        return self.known_ms, self.row[POSITIVE], self.row.get("source")


class Payment(NamedTuple):
    """A decision as the learner read it: where it stood, and the prediction."""

    partition: int
    offset: int
    said: dict[str, Any]


class Read(NamedTuple):
    """What a report knew by its moment: the decisions that count, one a payment, and the labels."""

    first: dict[Name, dict[str, Any]]
    labels: list[Label]


def check_quality(dump: Dump, checker: "ReportChecker", found: Findings) -> None:
    """Check each record of `quality`; a run without a learner has none, and none is due."""
    if dump.declared.learner is None:
        return
    said: dict[str, dict[str, Any]] = {}
    for record in dump.topics[QUALITY]:
        one = json.loads(record.value or b"")
        if one["quality_id"] in said:
            found.add("quality_duplicate", f"{one['quality_id']} again at offset {record.offset}")
        said[one["quality_id"]] = one
    reported = _reports(dump)
    for at_ms, offsets in sorted(reported.items()):
        checker.check(at_ms, offsets, said, found)
    for name, one in said.items():
        if one["kind"] in ("labels", "matured") and one["at"] not in reported:
            found.add("quality_mismatch", f"{name} is of a moment that no state tells of")
    due_ms = checker.newest_due_ms()
    if due_ms is not None and max(reported, default=-1) < due_ms:
        found.add("quality_lost", f"the last report is of {max(reported, default=None)}, {due_ms} was due")


def _reports(dump: Dump) -> dict[int, dict[str, dict[str, int]]]:
    """Return, by reported moment, how far each topic had been read when it was first committed."""
    reports: dict[int, dict[str, dict[str, int]]] = {}
    for record in dump.topics[STATE]:
        state = json.loads(record.value or b"")
        at_ms = state["memory"]["reported_ms"]
        if at_ms is not None:
            reports.setdefault(at_ms, state["offsets"])
    return reports


class ReportChecker:
    """Recomputes the reports of one run, each once."""

    def __init__(self, run: StageWork) -> None:
        dump, self._about = run.dump, run.dump.declared.learner or {}
        self._mildest = next(iter(dump.declared.decisions), "")
        self._links = told_apart(run.project)
        self._due: dict[int, dict[str, dict[str, int]]] = {}
        self._payments = [
            Payment(record.partition, record.offset, json.loads(record.value or b""))
            for record in dump.topics["predictions"]
            if self._about
        ]
        self._labels = _labels(run) if self._about else []
        times = [one.said["event_time"] for one in self._payments]
        times += [one.known_ms for one in self._labels]
        self._newest_ms, self._oldest_ms = max(times, default=None), min(times, default=0)

    def newest_due_ms(self) -> int | None:
        """Return the newest moment that must have been reported once all was read; None before any is due."""
        if self._newest_ms is None:
            return None
        step_ms = self._about["step_ms"]
        due_ms = (self._newest_ms - self._about["grace_ms"]) // step_ms * step_ms
        return due_ms if due_ms > self._oldest_ms + step_ms else None

    def check(
        self, at_ms: int, offsets: dict[str, dict[str, int]], said: dict[str, dict[str, Any]], found: Findings
    ) -> None:
        """Check the records of one report."""
        if at_ms not in self._due:
            self._due[at_ms] = self._counts(at_ms, offsets)
        for name, counts in self._due[at_ms].items():
            told = said.get(name)
            if told is None:
                found.add("quality_lost", f"{name} was committed and is not in quality")
                continue
            wrong = [key for key in counts if told["counts"].get(key) != counts[key]]
            if wrong:
                pairs = ", ".join(f"{key} {told['counts'].get(key)}, not {counts[key]}" for key in wrong)
                found.add("quality_mismatch", f"{name}: {pairs}")

    def _counts(self, at_ms: int, offsets: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        """Return what each record of a report must count."""
        read = self._read(at_ms, offsets)
        ruling = _ruling(read, at_ms)
        due = {f"labels/{at_ms}": self._label_counts(read, ruling, at_ms)}
        for days in self._about["windows"]:
            due[f"matured/{at_ms}/{days}d/all"] = self._window_counts(read, ruling, at_ms, days)
        return due

    def _read(self, at_ms: int, offsets: dict[str, dict[str, int]]) -> Read:
        """Return what a report of a moment knew, but for what had fallen out by then."""
        cut_ms = at_ms - self._about["horizon_ms"]
        limits = {name: {int(n): end for n, end in each.items()} for name, each in offsets.items()}
        paid = [
            one.said for one in self._payments
            if one.offset < limits["predictions"][one.partition] and one.said["event_time"] > cut_ms
        ]  # fmt: skip
        labels = [
            one for one in self._labels
            if one.offset < limits["features.log"][one.partition] and one.known_ms > cut_ms
        ]  # fmt: skip
        first: dict[Name, dict[str, Any]] = {}
        for one in sorted(paid, key=_first_of_all):
            first.setdefault(self._name(one), one)
        known = [one for one in labels if one.known_ms <= at_ms]
        return Read(first, known)

    def _label_counts(self, read: Read, ruling: dict[Name, Label], at_ms: int) -> dict[str, int]:
        without = [one for one in read.labels if one.name not in read.first]
        matched = [one for one in read.labels if one.name in read.first]
        lost = sum(one.known_ms + self._about["wait_ms"] <= at_ms for one in without)
        different = len({(one.name, *one.said) for one in matched})
        judging = sum(name in read.first for name in ruling)
        return {
            "labels": len(read.labels), "judging": judging, "replaced": different - judging,
            "repeated": len(matched) - different, "waiting": len(without) - lost, "unmatched": lost,
        }  # fmt: skip

    def _window_counts(self, read: Read, ruling: dict[Name, Label], at_ms: int, days: int) -> dict[str, int]:
        until_ms = at_ms - self._about["maturity_ms"]
        from_ms = until_ms - days * DAY_MS
        counts: Counter[str] = Counter()
        for name, one in read.first.items():
            if from_ms < one["event_time"] <= until_ms:
                label = ruling.get(name)
                fraud = None if label is None else label.row[POSITIVE] == 1
                flagged = one["decision"] != self._mildest
                counts["events"] += 1
                counts["labelled"] += fraud is not None
                counts["positives"] += bool(fraud)
                counts["true_positives"] += bool(flagged and fraud)
                counts["false_positives"] += flagged and fraud is False
                counts[f"{one['decision']}_events"] += 1
        names = ("events", "labelled", "positives", "true_positives", "false_positives")
        return {**dict.fromkeys(names, 0), **counts}

    def _name(self, said: dict[str, Any]) -> Name:
        """Return who a prediction is about."""
        return said["event_id"], *(said["keys"][link.name] or "" for link in self._links)


def told_apart(project: ProjectOracle) -> tuple[LinkOracle, ...]:
    """Return the entities whose keys tell events of one id apart: those that every label has."""
    return tuple(
        link for link in project.links if all(source.never_lacks(link.fields) for source in project.labels)
    )


def _first_of_all(one: dict[str, Any]) -> tuple[int, int, int]:
    return one["event_time"], one["source"]["partition"], one["source"]["offset"]


def _ruling(read: Read, at_ms: int) -> dict[Name, Label]:
    """Return each payment's label that rules: the newest, of equal ones the last of the highest partition."""
    ruling: dict[Name, Label] = {}
    for one in sorted(read.labels, key=lambda one: (one.known_ms, one.partition, one.pos)):
        if one.known_ms <= at_ms:
            ruling[one.name] = one
    return ruling


def _labels(run: StageWork) -> "list[Label]":
    """Return the labels of `features.log` as a reader takes them, in its order."""
    records: dict[int, list[tuple[int, bytes]]] = {}
    ends, links = ends_of(run.dump, run.project), told_apart(run.project)
    for record in run.dump.topics[LOG]:
        if run.rules.is_ours(record.value or b"", LOG, ends):
            records.setdefault(record.partition, []).append((record.offset, record.value or b""))
    labels = []
    for partition, mine in sorted(records.items()):
        for placed in LaneReader().fold(mine):
            source = run.project.by_number[placed.kind]
            origin = Origin(source.topic, placed.row["raw_partition"], placed.row["raw_offset"])
            row = run.taken.good.get(origin)
            if source.is_labels and row is not None:
                name = (run.project.event_id(row), *(link.key(row).decode() for link in links))
                pos = placed.row[f"{run.project.links[-1].name}_pos"]
                labels.append(Label(partition, placed.pos >> 20, pos, name, row[source.time], row))
    return labels
