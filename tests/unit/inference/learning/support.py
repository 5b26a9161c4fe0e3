"""Predictions, payments and labels as the learner reads them, and the figures worked out again, slowly."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contracts.connections import KafkaConnection
from contracts.errors import ModelError
from contracts.frame import Columns, Kind, strings
from inference.learning.core import LearnerCore
from inference.learning.ports import Outcome, Training
from inference.learning.settings import LearnerSettings
from inference.models.manifest import Thresholds
from inference.release.release import Stage
from load.this_project import CUSTOMER, PROJECT, TERMINAL

DAY_MS = 86_400_000
START_MS = 1_525_132_800_000  # 2018-05-01
THRESHOLDS = Thresholds(review=0.5, decline=0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment, its decision and scores."""

    id: str
    event_ms: int
    offset: int
    score: float | None = 0.1
    decision: str = "approve"
    amount_minor: int = 100
    channel: str = "pos"
    country: str = "BE"
    partition: int = 0
    model: str = "fraud/1"
    stage: str = "champion"
    shadow: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label."""

    id: str
    label_ms: int
    fraud: int
    event_ms: int = START_MS
    source: str = "chargeback"
    partition: int = 0
    pos: int = 0


class FixedModels:
    """A registry whose words a test sets."""

    def __init__(self, thresholds: Mapping[str, Thresholds], champion: Training | None = None) -> None:
        self.known, self.now = dict(thresholds), champion
        self.gains: dict[str, float] = {}
        self.promoted: list[tuple[str, int]] = []
        self.refuse = False
        self.shadows: list[str] = []

    def thresholds(self, model: str) -> Thresholds | None:
        return self.known.get(model)

    def champion(self) -> Training | None:
        return self.now

    def gain(self, model: str) -> float | None:
        return self.gains.get(model)

    def promote(self, model: str, at_ms: int, why: str) -> Stage:
        if self.refuse:
            raise ModelError("E_GATE_REFUSED", "a gate does not hold", model)
        if self.now is not None and model not in self.shadows:
            self.shadows = [model]
            return "shadow"
        self.promoted.append((model, at_ms))
        self.shadows = [shadow for shadow in self.shadows if shadow != model]
        return "champion"

    def in_shadow(self) -> list[str]:
        return self.shadows


class Recorder:
    """Detectors that only note what they are fed with."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.fed: list[tuple[int, float]] = []

    def feed_many(self, event_ms: Any, errors: Any) -> list[Any]:
        self.fed += list(zip(event_ms.tolist(), errors.tolist(), strict=True))
        return []

    def restart(self, why: str) -> str:
        return f"restart {self.model}"


def settings(**fields: Any) -> LearnerSettings:
    """Return settings of a learner that meets no Kafka."""
    return LearnerSettings(
        kafka=KafkaConnection(bootstrap_servers="127.0.0.1:1"), models=Path("no/models"), **fields
    )


def make_core(given: LearnerSettings | None = None, models: FixedModels | None = None) -> LearnerCore:
    """Return a core with detectors that only note; they are in `core.recorders`, by model."""
    recorders: dict[str, Recorder] = {}

    def watch_of(model: str) -> Recorder:
        recorders[model] = Recorder(model)
        return recorders[model]

    core = LearnerCore(PROJECT, given or settings(), models or FixedModels({"fraud/1": THRESHOLDS}), watch_of)
    core.recorders = recorders  # type: ignore[attr-defined]  # for the test's eyes
    return core


def record(payment: Payment) -> bytes:
    """Return the prediction's bytes, with only the fields that the learner reads and some it does not."""
    name, _, version = payment.model.partition("/")
    said: dict[str, Any] = {
        "prediction_id": payment.id, "event_id": payment.id, "event_time": payment.event_ms,
        "keys": {"customer": "c", "terminal": "m"},
        "decision": payment.decision, "decided_by": "model", "reasons": [],
        "model": {"name": name, "version": version, "stage": payment.stage, "sha256": "0" * 64},
        "shadow": [{"model": model, "score": score} for model, score in payment.shadow.items()],
        "features": {"values": [1.0, None]},
        "source": {"topic": "transactions", "partition": payment.partition, "offset": payment.offset},
    }  # fmt: skip
    if payment.score is not None:
        said["score"] = payment.score
    return msgspec.json.encode(said)


def _whose(count: int) -> Columns:
    return {"customer_id": strings(["c"] * count), "terminal_id": strings(["m"] * count)}


def payment_rows(payments: Iterable[Payment]) -> Columns:
    """Return rows of Kind.SCORED, with the columns that the learner reads."""
    rows = list(payments)
    return {
        "pos": np.arange(len(rows)),
        "transaction_id": strings([p.id for p in rows]),
        **_whose(len(rows)),
        "raw_partition": np.array([p.partition for p in rows], np.int32),
        "raw_offset": np.array([p.offset for p in rows], np.int64),
        "event_time": np.array([p.event_ms for p in rows], np.int64),
        "appended_ms": np.array([p.event_ms for p in rows], np.int64),
        "customer_values": np.zeros((len(rows), len(CUSTOMER.columns))),
        "terminal_values": np.zeros((len(rows), len(TERMINAL.columns))),
        "amount_minor": np.array([p.amount_minor for p in rows], np.int64),
        "channel": strings([p.channel for p in rows]),
        "country": strings([p.country for p in rows]),
    }


def label_rows(labels: Iterable[Label]) -> Columns:
    """Return rows of Kind.LABEL, likewise."""
    rows = list(labels)
    return {
        "pos": np.arange(len(rows)),
        "transaction_id": strings([label.id for label in rows]),
        **_whose(len(rows)),
        "event_time": np.array([label.event_ms for label in rows], np.int64),
        "label_time": np.array([label.label_ms for label in rows], np.int64),
        "appended_ms": np.array([label.label_ms for label in rows], np.int64),
        "customer_values": np.zeros((len(rows), len(CUSTOMER.columns))),
        "terminal_values": np.zeros((len(rows), len(TERMINAL.columns))),
        "positive": np.array([label.fraud for label in rows], np.uint8),
        "source": strings([label.source for label in rows]),
        "terminal_pos": np.array([label.pos for label in rows], np.int64),
    }


def feed(core: LearnerCore, payments: list[Payment], labels: list[Label]) -> None:
    """Let a core read everything."""
    core.take_predictions([record(p) for p in payments])
    core.take_log(payment_rows(payments), Kind.SCORED, 0)
    for partition in sorted({label.partition for label in labels}):
        mine = [label for label in labels if label.partition == partition]
        core.take_log(label_rows(mine), Kind.LABEL, partition)


def finished(model: str = "", code: str = "", what: str = "") -> Outcome:
    """Return how a training ended."""
    return Outcome(model=model, code=code, what=what)
