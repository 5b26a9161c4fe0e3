"""The whole judgement: one dump in, counts of everything that must not be out."""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from load.oracle.answers import check_answers
from load.oracle.dump import Dump
from load.oracle.findings import Findings
from load.oracle.intake import LABELS, PAYMENTS, Origin, intake
from load.oracle.lake import check_lake
from load.oracle.letters import check_letters, origin_of, strangers
from load.oracle.predictions import Checked, PredictionReader, check_order
from load.oracle.quality import ReportChecker, check_quality
from load.oracle.stages import customers, ends_of, feature_log, terminals
from load.oracle.store import check_store


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
        self._taken = intake(dump)
        self._known = customers(dump, self._taken, self._found)
        self._made = terminals(dump, self._taken, self._known, self._found)
        self._reader = PredictionReader(dump, self._taken, (self._known, self._made))
        self._log = self._read_log(dump)
        self._reports = ReportChecker(dump, self._taken, ends_of(dump))
        self._took_s = time.monotonic() - began_s

    def judge(self, dump: Dump) -> Verdict:
        """Judge the dump, or a copy."""
        began_s, found = time.monotonic(), Findings()
        found.merge(self._found)
        same_log = dump.topics["features.log"] == self._dump.topics["features.log"]
        order, of_log = self._log if same_log else self._read_log(dump)
        found.merge(of_log)
        predictions = self._reader.read(dump.topics["predictions"], found)
        check_order(predictions, order, found)
        check_letters(dump, self._taken, self._known, found)
        self._check_lost(order, predictions, found)
        self._check_conservation(dump, predictions, found)
        _check_seen(dump, found)
        check_lake(dump, order, found)
        check_store(dump, {"customer": self._known.store, "terminal": self._made.store}, found)
        check_answers(dump, {"customer": self._known.keys, "terminal": self._made.keys}, found)
        check_quality(dump, self._reports, found)
        why = Counter(word for one in predictions.values() for word in one.prediction["degraded_why"])
        return Verdict(
            counts=dict(found.counts), examples=found.examples, looked_at=self._looked_at(dump, predictions),
            degraded=dict(why), seconds=round(self._took_s + time.monotonic() - began_s, 1),
        )  # fmt: skip

    def _read_log(self, dump: Dump) -> tuple[dict[Origin, tuple[int, int]], Findings]:
        found = Findings()
        return feature_log(dump, self._taken, (self._known, self._made), found), found

    def _check_lost(
        self, order: Mapping[Origin, Any], predictions: Collection[Origin], found: Findings
    ) -> None:
        """Every good payment has a prediction, or is a repeat or in conflict; labels are in the log."""
        silent = self._known.repeats | self._known.conflicts.keys()
        for origin in self._taken.good:
            if origin.topic == LABELS:
                if origin not in order:
                    found.add("lost", f"the label {origin} is not in features.log")
            elif origin not in predictions and origin not in silent:
                where = "was scored" if origin in order else "reached features.log"
                found.add("lost", f"the payment {origin} never {where}")

    def _check_conservation(self, dump: Dump, predictions: Collection[Origin], found: Findings) -> None:
        """Raw payments = predictions + letters + repeats, in each partition."""
        raw = Counter(record.partition for record in dump.topics[PAYMENTS])
        letters = map(origin_of, dump.topics[f"{PAYMENTS}.dlq"])
        lettered = {origin for origin in letters if origin.topic == PAYMENTS}
        out = Counter(origin.partition for origin in (*predictions, *self._known.repeats, *lettered))
        for partition, count in raw.items():
            if out[partition] != count:
                found.add(
                    "conservation", f"transactions/{partition}: {count} records, {out[partition]} outcomes"
                )

    def _looked_at(self, dump: Dump, predictions: Mapping[Origin, Checked]) -> dict[str, int]:
        rows = (*self._known.rows.values(), *self._made.rows.values())
        return {
            "raw_payments": len(dump.topics[PAYMENTS]),
            "raw_labels": len(dump.topics[LABELS]),
            "predictions": len(predictions),
            "repeats_ignored": len(self._known.repeats),
            "dead_letters": len(self._taken.refused) + len(self._known.conflicts),
            "values": sum(len(row.values) for row in rows),
            "api_answers": len(dump.answers),
            "quality_records": len(dump.topics.get("quality", [])),
            "strangers": len(strangers(dump)),
            "store_rows": len(self._known.store) + len(self._made.store),
            "late": sum(row.late > 0 for row in self._made.rows.values()),
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
