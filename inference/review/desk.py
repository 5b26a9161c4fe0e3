"""Which events people look at: those whose decision says so, and a budgeted sample to be learned from.

The sample is a function of the log: uncertain scores and a slice drawn by the hash of an event's place, in
log order until the event-time day's budget is spent. What is spent commits with the offset, so a crash
neither draws twice nor skips.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.events import ReviewCase
from contracts.frame import Columns
from contracts.keys import NULL
from features.definition import DAY_MS
from features.project.running import RunningProject
from inference.policy.decision import DECIDED_BY
from inference.policy.engine import PolicyEngine
from inference.policy.policy import SampleTerms
from inference.policy.prediction import Judged
from inference.release.arms import Arms
from inference.release.live import id_of

DAYS_KEPT = 3  # of a partition's spending; an event of an older day is not drawn
UNCERTAIN, RANDOM = 0, 1
DECIDED, NOT_DRAWN = 2, 3
WHYS = ("uncertain", "random", "decision")

Mask = NDArray[np.bool_]
Sampled = Mapping[int, tuple[int, int]]  # event-time day to uncertain and random cases drawn


class Opened(NamedTuple):
    """Cases as records to produce (key, value), how many of each kind, and what is spent by partition now."""

    records: list[dict[str, bytes]]
    whys: dict[str, int]
    spent: dict[int, Sampled]


class ReviewDesk:
    """Opens the cases of a batch.

    Args:
        epoch: the run's; part of every case's id, as of the prediction's.
        partitions: of the feature log; a day's budget is shared out among them.
        project: whose events are decided.
    """

    def __init__(self, epoch: int, partitions: int, project: RunningProject) -> None:
        self._epoch, self._partitions = epoch, partitions
        self._event, self._decisions, self._money = project.event, project.decisions, project.money
        self._shard = project.pipeline.chain.last.partition

    def open(
        self,
        rows: Columns,
        judged: Judged,
        engine: PolicyEngine,
        arms: Arms,
        decided_at_ms: int,
        spent: Mapping[int, Sampled],
    ) -> Opened:
        """Return the cases of n rows, given in log order within each partition.

        Args:
            arms: who scored and decided them; a case names the model that decided its event.
            spent: by partition of the feature log, what was drawn before these rows.
        """
        why = np.where(np.isin(judged.decided.decision, self._decisions.queued), DECIDED, NOT_DRAWN)
        budget = _Budget(engine.policy.sample, self._partitions, spent)
        uncertain, random = self._eligible(rows, judged, engine, arms)
        for row in np.flatnonzero((uncertain | random) & (why == NOT_DRAWN)).tolist():
            partition, day = int(rows[self._shard][row]), int(rows[self._event.time][row]) // DAY_MS
            for kind, eligible in ((UNCERTAIN, uncertain), (RANDOM, random)):
                if eligible[row] and budget.take(partition, day, kind):
                    why[row] = kind
                    break
        opened = np.flatnonzero(why != NOT_DRAWN)
        models = [""] * len(opened)
        for model, places in arms.deciding(opened):
            if model is not None:
                for place in places.tolist():
                    models[place] = id_of(model)
        policy = f"{engine.policy.name}/{engine.policy.version}"
        cases = [
            self._case(rows, judged, row, WHYS[why[row]], (name, policy, decided_at_ms))
            for row, name in zip(opened.tolist(), models, strict=True)
        ]
        records = [{"key": case.event_id.encode(), "value": msgspec.json.encode(case)} for case in cases]
        counts = np.bincount(why[opened], minlength=len(WHYS)).tolist()
        return Opened(records, dict(zip(WHYS, counts, strict=True)), budget.spent)

    def _eligible(self, rows: Columns, judged: Judged, engine: PolicyEngine, arms: Arms) -> tuple[Mask, Mask]:
        terms, count = engine.policy.sample, len(judged.vectors)
        uncertain = np.zeros(count, np.bool_)
        if judged.scores is not None and terms.uncertain.a_day and self._decisions.severer:
            limits = engine.thresholds_over(arms.limits(self._decisions.names))
            people = min(self._decisions.queued, default=0)  # or where nobody looks, the mildest threshold
            far = np.abs(judged.scores - limits[max(people - 1, 0)])  # NaN is never near
            uncertain = np.asarray(far <= terms.uncertain.margin)
        random = np.zeros(count, np.bool_)
        if terms.random.a_day:
            random = drawn(rows["raw_partition"], rows["raw_offset"], terms.random.share)
        return uncertain, random

    def _case(
        self, rows: Columns, judged: Judged, row: int, why: str, about: tuple[str, str, int]
    ) -> ReviewCase:
        model, policy, decided_at_ms = about
        score = None if judged.scores is None else float(judged.scores[row])
        return ReviewCase(
            case_id=f"{self._epoch}-{rows['raw_partition'][row]}-{rows['raw_offset'][row]}",
            **self._event.document(rows, row), event_time=int(rows[self._event.time][row]),
            amount_minor=self._worth(rows, row), opened_at=decided_at_ms, why=why,  # type: ignore[arg-type]
            decision=self._decisions.names[judged.decided.decision[row]],
            decided_by=DECIDED_BY[judged.decided.decided_by[row]],  # type: ignore[arg-type]
            score=msgspec.UNSET if score is None or np.isnan(score) else score,
            model=model or msgspec.UNSET, policy=policy,
            reasons=[reason.code for reason in judged.reasons.get(row, [])],
        )  # fmt: skip

    def _worth(self, rows: Columns, row: int) -> int | msgspec.UnsetType:
        """Return what an event is worth; nothing where its project or itself does not say."""
        if not self._money or (worth := int(rows[self._money][row])) == NULL:
            return msgspec.UNSET
        return worth


class _Budget:
    """What is left of each day's draws; the newest days of a partition are kept."""

    def __init__(self, terms: SampleTerms, partitions: int, spent: Mapping[int, Sampled]) -> None:
        self._a_day = (terms.uncertain.a_day, terms.random.a_day)
        self._partitions = partitions
        self.spent: dict[int, Sampled] = dict(spent)

    def take(self, partition: int, day: int, kind: int) -> bool:
        """Spend one of a day's draws if there is one left."""
        days = dict(self.spent.get(partition, {}))
        used = list(days.get(day, (0, 0)))
        oldest = sorted(days)[-DAYS_KEPT] if len(days) >= DAYS_KEPT else day
        if day < oldest or used[kind] >= self._share(kind, partition):
            return False
        used[kind] += 1
        days[day] = (used[0], used[1])
        self.spent[partition] = {one: days[one] for one in sorted(days)[-DAYS_KEPT:]}
        return True

    def _share(self, kind: int, partition: int) -> int:
        whole, rest = divmod(self._a_day[kind], self._partitions)
        return whole + (partition % self._partitions < rest)


def drawn(partition: NDArray[np.int32], offset: NDArray[np.int64], share: float) -> Mask:
    """Return which places in the log fall into a slice of that share: a hash of the place decides.

    The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).

    >>> places = np.zeros(100_000, np.int32), np.arange(100_000)
    >>> bool(abs(drawn(*places, 0.01).mean() - 0.01) < 0.001)
    True
    """
    mixed = (partition.astype(np.uint64) << np.uint64(48)) + offset.astype(np.uint64)
    mixed += np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53 < share)
