"""The oracle's own count of matured quality agrees with the learner's, and finds each thing that is wrong."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.frame import Frame, Kind, encode, position, strings
from inference.learning.core import LearnerCore
from load.chaos import collect
from load.oracle import planted
from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.intake import Intake, Origin
from load.oracle.quality import ReportChecker, check_quality
from load.oracle.sources import ProjectOracle
from load.oracle.stages import StageWork
from load.oracle.strangers import FrameOracle
from load.this_project import PROJECT
from tests.unit.inference.learning.support import DAY_MS, START_MS, make_core, settings

PAYMENTS, LABELS, DAYS, STEPS = 400, 300, 40, 8
GIVEN = settings(windows_days="1,7", maturity_days=2.0, wait_days=3.0)


def payments(rng: np.random.Generator) -> list[dict[str, Any]]:
    moments = np.sort(rng.integers(START_MS, START_MS + DAYS * DAY_MS, PAYMENTS)).tolist()
    return [
        {
            "event_id": f"t{int(rng.integers(PAYMENTS)) if rng.random() < 0.1 else number}",
            "keys": {"customer": str(rng.choice(["c1", "c1", "c1", "c2"])), "terminal": "m1"},
            "event_time": at_ms - (60 * DAY_MS if rng.random() < 0.02 else 0), "score": 0.5,
            "decision": str(rng.choice(["approve", "review", "decline"])),
            "source": {"topic": "transactions", "partition": 0, "offset": number},
        }
        for number, at_ms in enumerate(moments)
    ]  # fmt: skip


def labels(rng: np.random.Generator) -> list[dict[str, Any]]:
    moments = np.sort(rng.integers(START_MS, START_MS + DAYS * DAY_MS, LABELS)).tolist()
    made: list[dict[str, Any]] = []
    for at_ms in moments:
        if made and rng.random() < 0.1:
            made.append(dict(made[int(rng.integers(len(made)))]))
            continue
        made.append(
            {
                "transaction_id": f"t{int(rng.integers(PAYMENTS * 6 // 5))}", "event_time": START_MS,
                "customer_id": "c1", "terminal_id": str(rng.choice(["m1", "m1", "m2"])),
                "label_time": at_ms, "label": str(rng.choice(["fraud", "legitimate"])),
                "source": str(rng.choice(["chargeback", "analyst"])),
            }
        )  # fmt: skip
    return made


def label_rows(some: list[dict[str, Any]], first: int) -> dict[str, Any]:
    numbers = np.arange(first, first + len(some), dtype=np.int64)
    return {
        "pos": numbers << 20, "raw_partition": np.zeros(len(some), np.int32), "raw_offset": numbers,
        "appended_ms": numbers,
        "transaction_id": strings([one["transaction_id"].encode() for one in some]),
        **{
            name: strings([one[name].encode() for one in some]) for name in ("customer_id", "terminal_id")
        },
        "event_time": np.array([one["event_time"] for one in some], np.int64),
        "label_time": np.array([one["label_time"] for one in some], np.int64),
        "positive": np.array([one["label"] == "fraud" for one in some], np.uint8),
        "source": strings([one["source"].encode() for one in some]), "terminal_pos": numbers << 20,
        "customer_values": np.zeros((len(some), 1)), "terminal_values": np.zeros((len(some), 1)),
    }  # fmt: skip


def row_of(said: dict[str, Any]) -> dict[str, Any]:
    """Return a label as the stages read it."""
    texts = {name: value.encode() if isinstance(value, str) else value for name, value in said.items()}
    return {**texts, "positive": int(said["label"] == "fraud")}


class Told:
    """A learner that has read payments and labels in steps, and what it said."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.core: LearnerCore = make_core(GIVEN)
        self.payments, self.labels = payments(rng), labels(rng)
        self.topics: dict[str, list[Record]] = {
            name: [] for name in ("predictions", "features.log", "quality", "changelog.learner")
        }
        for step in range(STEPS):
            self._read(step)
            self._report()

    def _add(self, topic: str, value: bytes) -> None:
        self.topics[topic].append(Record(0, len(self.topics[topic]), 0, None, value))

    def _read(self, step: int) -> None:
        some = self.payments[PAYMENTS * step // STEPS : PAYMENTS * (step + 1) // STEPS]
        for one in some:
            self._add("predictions", json.dumps(one).encode())
        self.core.take_predictions([json.dumps(one).encode() for one in some])
        first, behind = LABELS * step // STEPS, LABELS * (step + 1) // STEPS
        rows = label_rows(self.labels[first:behind], first)
        frame = Frame("events.terminal/0", position(first), position(behind), first == 0, Kind.LABEL, rows)
        self._add("features.log", encode(frame))
        self.core.take_log(rows, Kind.LABEL, 0)
        self.newest_ms = max(
            max(one["event_time"] for one in some),
            max(one["label_time"] for one in self.labels[:behind]),
        )

    def _report(self) -> None:
        offsets = {name: {"0": len(self.topics[name])} for name in ("predictions", "features.log")}
        for at_ms in self.core.due(self.newest_ms):
            for record in self.core.report(at_ms).quality:
                self._add("quality", msgspec.json.encode(record))
            state = {"memory": {"reported_ms": at_ms}, "offsets": offsets}
            self._add("changelog.learner", json.dumps(state).encode())

    def dump(self) -> Dump:
        about = {
            "windows": list(GIVEN.windows), "step_ms": GIVEN.step_ms,
            "grace_ms": int(GIVEN.grace_hours * 3_600_000), "maturity_ms": GIVEN.maturity_ms,
            "wait_ms": GIVEN.wait_ms, "horizon_ms": GIVEN.horizon_ms,
        }  # fmt: skip
        declared = msgspec.structs.replace(collect.declared(PROJECT, 1, 1), learner=about)
        return Dump(declared=declared, topics=self.topics, store={}, models={}, seen=[], lake={})

    def checker(self) -> ReportChecker:
        good = {Origin("labels", 0, number): row_of(one) for number, one in enumerate(self.labels)}
        dump, project = self.dump(), ProjectOracle(collect.declared(PROJECT, 1, 1))
        dump.topics |= {"events.customer": [], "transactions": [], "labels": []}
        dump.topics["events.terminal"] = [Record(0, LABELS, 0, None, b"")]
        return ReportChecker(StageWork(dump, project, Intake(good, {}), FrameOracle(project)))


def found(told: Told, dump: Dump) -> Findings:
    findings = Findings()
    check_quality(dump, told.checker(), findings)
    return findings


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_learner_counts_as_the_oracle_does(seed: int) -> None:
    told = Told(seed)
    findings = found(told, told.dump())
    assert findings.clean, findings.examples
    assert len(told.topics["changelog.learner"]) > 30


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (planted.lose_quality, "quality_lost"),
        (planted.double_quality, "quality_duplicate"),
        (planted.miscount_labels, "quality_mismatch"),
        (planted.miscount_window, "quality_mismatch"),
        (planted.forget_report, "quality_lost"),
    ],
)
def test_each_planted_fault_is_found(change: Callable[[Dump, Any], None], name: str) -> None:
    told = Told(5)
    copy = told.dump().copy()
    change(copy, np.random.default_rng(3))
    assert found(told, copy).counts[name] >= 1


def test_a_run_without_a_learner_owes_nothing() -> None:
    told = Told(6)
    dump = told.dump()
    dump.declared.learner = None
    assert found(told, dump).clean
