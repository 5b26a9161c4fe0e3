"""The whole judgement: one dump in, counts of everything that must not be out."""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from load.oracle.answers import check_answers
from load.oracle.dump import Dump
from load.oracle.findings import Findings
from load.oracle.intake import Origin, intake
from load.oracle.lake import check_lake
from load.oracle.letters import check_letters, origin_of, strangers
from load.oracle.predictions import Checked, PredictionReader, check_order
from load.oracle.quality import ReportChecker, check_quality
from load.oracle.sources import ProjectOracle
from load.oracle.stages import LOG, StageWork, feature_log, stages
from load.oracle.store import check_store
from load.oracle.strangers import FrameOracle


class Verdict(msgspec.Struct, kw_only=True):
    """What the oracle says of a run: what was wrong, and how much was looked at."""

    counts: dict[str, int]
    examples: dict[str, list[str]]
    looked_at: dict[str, int]
    degraded: dict[str, int]
    seconds: float

    @property
    def clean(self) -> bool:
        """Return whether nothing was wrong; a hole that later records filled is told and is nothing wrong."""
        return not any(count for name, count in self.counts.items() if name != "lane_holes")


def judge(dump: Dump) -> Verdict:
    """Judge a run."""
    return Judge(dump).judge(dump)


class Judge:
    """Judges a dump, and copies of it that differ in what a service wrote behind the stages' input.

    What must come out follows from the raw topics and the order between the stages, which all of them share,
    and is recomputed once.
    """

    def __init__(self, dump: Dump) -> None:
        began_s = time.monotonic()
        self._dump, self._found = dump, Findings()
        self.project = project = ProjectOracle(dump.declared)
        self._run = StageWork(dump, project, intake(dump, project), FrameOracle(project))
        self._known = stages(self._run, self._found)
        self._reader = PredictionReader(self._run, self._known)
        self._log = self._read_log(dump)
        self._reports = ReportChecker(self._run)
        self._took_s = time.monotonic() - began_s

    def judge(self, dump: Dump) -> Verdict:
        """Judge the dump, or a copy."""
        began_s, found = time.monotonic(), Findings()
        found.merge(self._found)
        same_log = dump.topics[LOG] == self._dump.topics[LOG]
        order, of_log = self._log if same_log else self._read_log(dump)
        found.merge(of_log)
        predictions = self._reader.read(dump.topics["predictions"], found)
        check_order(predictions, order, found)
        check_letters(self._run._replace(dump=dump), self._known, found)
        self._check_lost(dump, order, predictions, found)
        self._check_conservation(dump, predictions, found)
        _check_seen(dump, found)
        check_lake(dump, self.project, order, found)
        check_store(dump, self._known, found)
        check_answers(dump, self.project, self._known, found)
        check_quality(dump, self._reports, found)
        why = Counter(word for one in predictions.values() for word in one.prediction["degraded_why"])
        return Verdict(
            counts=dict(found.counts), examples=found.examples, looked_at=self._looked_at(dump, predictions),
            degraded=dict(why), seconds=round(self._took_s + time.monotonic() - began_s, 1),
        )  # fmt: skip

    def _read_log(self, dump: Dump) -> tuple[dict[Origin, tuple[int, int]], Findings]:
        found = Findings()
        return feature_log(self._run._replace(dump=dump), self._known, found), found

    def _check_lost(
        self, dump: Dump, order: Mapping[Origin, Any], predictions: Collection[Origin], found: Findings
    ) -> None:
        """Every good record is in the log, each scored one has a prediction, but for what fell out."""
        silent = self._known.repeats | self._known.conflicts.keys()
        scored = self.project.scored.topic
        for origin in self._run.taken.good.keys() - silent:
            if dump.is_lost(*origin):
                continue
            if origin.topic != scored:
                if origin not in order:
                    found.add("lost", f"{origin} is not in {LOG}")
            elif origin not in predictions:
                where = "was scored" if origin in order else f"reached {LOG}"
                found.add("lost", f"{origin} never {where}")

    def _check_conservation(self, dump: Dump, predictions: Collection[Origin], found: Findings) -> None:
        """Raw scored records = predictions + letters + repeats, in each partition."""
        scored = self.project.scored
        letters = map(origin_of, dump.topics[scored.dead_letters])
        came = [
            origin for origin in (*predictions, *self._known.repeats, *set(letters))
            if origin.topic == scored.topic
        ]  # fmt: skip
        out, done = Counter(origin.partition for origin in came), set(came)
        raw = Counter(
            record.partition for record in dump.topics[scored.topic]
            if (origin := Origin(scored.topic, record.partition, record.offset)) in done
            or not dump.is_lost(*origin)
        )  # fmt: skip
        for partition, count in raw.items():
            if out[partition] != count:
                found.add(
                    "conservation", f"{scored.topic}/{partition}: {count} records, {out[partition]} outcomes"
                )

    def _looked_at(self, dump: Dump, predictions: Mapping[Origin, Checked]) -> dict[str, int]:
        rows = [row for stage in self._known.made for row in stage.rows.values()]
        raw = {source.name: len(dump.topics[source.topic]) for source in self.project.sources}
        labels = sum(raw[source.name] for source in self.project.labels)
        scored = raw[self.project.scored.name]
        return {
            "raw_payments": scored,
            "raw_labels": labels,
            "raw_context": sum(raw.values()) - scored - labels,
            "predictions": len(predictions),
            "repeats_ignored": len(self._known.repeats),
            "dead_letters": len(self._run.taken.refused) + len(self._known.conflicts),
            "values": sum(len(row.values) for row in rows),
            "api_answers": len(dump.answers),
            "quality_records": len(dump.topics.get("quality", [])),
            "strangers": len(strangers(dump, self.project, self._run.rules)),
            "store_rows": sum(len(stage.store) for stage in self._known.made),
            "late": sum(row.late > 0 for row in self._known.last.rows.values()),
            "without_key": sum(
                not link.key(row) for row in self._run.taken.good.values() for link in self.project.links
            ),
        }


def _check_seen(dump: Dump, found: Findings) -> None:
    """What a reader saw as committed is there at the end, and nothing else is."""
    final = {(record.partition, record.offset): record.value for record in dump.topics["predictions"]}
    seen = {(partition, offset): value for partition, offset, value in dump.seen}
    for place, value in seen.items():
        if final.get(place) != value:
            found.add("aborted_read", f"predictions/{place[0]}@{place[1]} was read and is not there")
    for place in final.keys() - seen.keys():
        found.add("aborted_read", f"predictions/{place[0]}@{place[1]} is there and was never read")
