"""Decisions as the records that subscribers read: contract Structs, encoded once a row.

What is equal for many rows (rules' answers, the model, the groups' states) is made once and shared.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from contracts.events import (
    TERMS,
    FeatureGroup,
    FeaturesUsed,
    ModelUsed,
    Prediction,
    Reason,
    RuleOutcome,
    Source,
)
from contracts.frame import Columns, length
from contracts.terms import Terms
from contracts.topics import TRANSACTIONS
from features.catalog import DEFINITIONS_HASH, SERVICE
from inference.decision import DECIDED_BY, DECISIONS, NOT_ASSESSED, RISK_BANDS, Decided
from inference.missing import WORDS
from inference.model import Model
from inference.rules import Outcome, Outcomes, Rule
from inference.served import (
    NO_AGE,
    STATUS_NAMES,
    Served,
)

Floats = NDArray[np.float64]

_encode = msgspec.json.Encoder().encode
_OUTCOME_NAMES = tuple(outcome.name.lower() for outcome in Outcome)
_NO_REASONS: list[Reason] = []
_EXACT, _STORE = (FeatureGroup(status=name, age_ms=0) for name in ("exact", "store"))
TRACEPARENT_CHARS = 55


class Judged(NamedTuple):
    """Everything that was decided about n events; `reasons` by row, for those that have any."""

    vectors: Floats
    served: Served
    scores: Floats | None
    outcomes: Outcomes
    decided: Decided
    missing: NDArray[np.uint8]
    reasons: dict[int, list[Reason]]


class Timing(NamedTuple):
    """Epoch ms of the decision and of the batch's arrival, and the milliseconds of its steps."""

    scored_at_ms: float
    received_ms: float
    store_ms: float
    predict_ms: float


class PredictionWriter:
    """Makes the records of a batch.

    Args:
        epoch: the run's; part of every prediction_id.
        rules: the rules in force, in the order of the outcomes' columns.
    """

    def __init__(self, epoch: int, rules: tuple[Rule, ...]) -> None:
        self._epoch, self._rules = epoch, rules
        self._rule_lists: dict[bytes, list[RuleOutcome]] = {}
        self._model: tuple[Model, ModelUsed] | None = None
        terms = [terms for terms in TERMS if terms.topic == TRANSACTIONS.name]
        self._contracts: tuple[Terms, ...] = tuple(
            sorted(terms, key=lambda t: t.effective_from_ms, reverse=True)
        )

    def write(self, rows: Columns, judged: Judged, model: Model | None, timing: Timing) -> list[bytes]:
        """Return the JSON of n predictions, in row order."""
        texts = {
            name: _texts(rows[name])
            for name in ("transaction_id", "customer_id", "terminal_id", "traceparent")
        }
        event_ms, appended_ms = rows["event_time"].tolist(), rows["appended_ms"].tolist()
        partitions, offsets = rows["raw_partition"].tolist(), rows["raw_offset"].tolist()
        values = judged.vectors.tolist()
        groups = self._groups(judged.served)
        why = [WORDS[bits] for bits in judged.missing.tolist()]
        scores = None if judged.scores is None else judged.scores.tolist()
        used = self._used(model)
        decided = [codes.tolist() for codes in judged.decided]
        latencies = _latencies(rows["appended_ms"], timing)
        scored_at = int(timing.scored_at_ms)
        predictions = []
        for at in range(length(rows)):
            scored = decided[2][at] != NOT_ASSESSED
            predictions.append(
                _encode(
                    Prediction(
                        prediction_id=f"{self._epoch}-{partitions[at]}-{offsets[at]}",
                        transaction_id=texts["transaction_id"][at],
                        customer_id=texts["customer_id"][at],
                        terminal_id=texts["terminal_id"][at],
                        event_time=event_ms[at],
                        scored_at=scored_at,
                        score=scores[at] if scored and scores is not None else UNSET,
                        risk_band=RISK_BANDS[decided[2][at]],  # type: ignore[arg-type]  # the contract's words
                        decision=DECISIONS[decided[0][at]],  # type: ignore[arg-type]
                        decided_by=DECIDED_BY[decided[1][at]],  # type: ignore[arg-type]
                        reasons=judged.reasons.get(at, _NO_REASONS),
                        rules=self._answers(judged.outcomes[at]),
                        model=used,
                        shadow=[],
                        features=FeaturesUsed(
                            service=SERVICE.name,
                            definitions_hash=DEFINITIONS_HASH,
                            values=values[at],
                            groups=groups[at],
                        ),
                        source=Source(topic=TRANSACTIONS.name, partition=partitions[at], offset=offsets[at]),
                        contract=self._contract(appended_ms[at]),
                        degraded=bool(why[at]),
                        degraded_why=why[at],
                        latency_ms=latencies[at],
                        traceparent=trace
                        if len(trace := texts["traceparent"][at]) == TRACEPARENT_CHARS
                        else UNSET,
                    )
                )
            )
        return predictions

    def _answers(self, outcomes: NDArray[np.uint8]) -> list[RuleOutcome]:
        key = outcomes.tobytes()
        answers = self._rule_lists.get(key)
        if answers is None:
            answers = self._rule_lists[key] = [
                RuleOutcome(id=rule.id, version=rule.version, outcome=_OUTCOME_NAMES[code])  # type: ignore[arg-type]
                for rule, code in zip(self._rules, key, strict=True)
            ]
        return answers

    def _used(self, model: Model | None) -> ModelUsed | msgspec.UnsetType:
        if model is None:
            return UNSET
        if self._model is None or self._model[0] is not model:
            self._model = (model, ModelUsed(**model.identity._asdict()))
        return self._model[1]

    def _contract(self, appended_ms: int) -> str:
        """Return the terms in force at the record's own time, by which the gate judged it."""
        for terms in self._contracts:
            if appended_ms >= terms.effective_from_ms:
                return terms.label
        return f"{TRANSACTIONS.name}/unknown"

    def _groups(self, served: Served) -> list[dict[str, FeatureGroup]]:
        """Return each row's groups; `event` and `derived` are made here and have no status of their own."""
        streamed = (_EXACT, _STORE)
        ages = served.profile_age_ms.tolist()
        return [
            {
                "customer": streamed[customer],
                "terminal": streamed[terminal],
                "profile": _profile_group(profile, age),
            }
            for customer, terminal, profile, age in zip(
                served.customer_status.tolist(), served.terminal_status.tolist(),
                served.profile_status.tolist(), ages, strict=True,
            )
        ]  # fmt: skip


_NO_PROFILE = FeatureGroup(status="default")


def _profile_group(status: int, age_ms: int) -> FeatureGroup:
    if age_ms == NO_AGE:
        return _NO_PROFILE
    return FeatureGroup(status=STATUS_NAMES[status], age_ms=age_ms)  # type: ignore[arg-type]


def _texts(column: NDArray[np.bytes_]) -> list[str]:
    return [value.decode() for value in column.tolist()]


def _latencies(appended_ms: NDArray[np.int64], timing: Timing) -> list[dict[str, float]]:
    """Return each row's time since the payment was in the log, and of the steps.

    The broker's clock may be ahead of ours: a time below 0 is told as 0.
    """
    total, stage = (
        np.maximum(0.0, np.round(until - appended_ms, 3)).tolist()
        for until in (timing.scored_at_ms, timing.received_ms)
    )
    store, predict = round(timing.store_ms, 3), round(timing.predict_ms, 3)
    return [
        {"total": one, "stage": two, "store": store, "predict": predict}
        for one, two in zip(total, stage, strict=True)
    ]
