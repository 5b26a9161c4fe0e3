"""Records of the topic `quality`, each with an id that says what it is about."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from contracts.events import Quality
from contracts.frame import Columns, length
from features.definition import DAY_MS
from inference.learning.fairness import Breach, Segment
from inference.learning.figures import Told
from inference.learning.ledger import LabelCounts
from inference.learning.ports import Outcome
from inference.learning.rows import Series
from inference.learning.triggers import Fired

UNMATCHED_TOLD_MAX = 1000  # in one report; the others are counted
_FAIRNESS_NEXT = (
    "look at that segment's decisions and reasons (`headrace explain`); if the difference has no cause in the"
    " risk, change thresholds or rules, or train without what stands for the segment"
)


_UNKNOWN_NEXT = "find out whether the event was refused (its topic's .dlq) or the label's id is wrong"


class Span(msgspec.Struct, frozen=True):
    """A matured window: events made in (from_ms, to_ms], judged by labels known at `at_ms`."""

    at_ms: int
    days: int
    maturity_ms: int

    @property
    def to_ms(self) -> int:
        """Return the time of the youngest event that counts."""
        return self.at_ms - self.maturity_ms

    @property
    def from_ms(self) -> int:
        """Return the time from which on events count, itself excluded."""
        return self.to_ms - self.days * DAY_MS


def matured(span: Span, series: Series | None, told: Told) -> Quality:
    """Return a window's figures of one series, or of all decisions."""
    who = "all decisions" if series is None else f"{series.model} as {series.stage}"
    name = "all" if series is None else f"{series.model}/{series.stage}"
    record = Quality(
        quality_id=f"matured/{span.at_ms}/{span.days}d/{name}", kind="matured", at=span.at_ms,
        what=f"{who}: {told.counts['labelled']:,} of {told.counts['events']:,} events of {span.days} days"
        f" up to {day(span.to_ms)} have a label, {told.counts['positives']:,} are positives",
        window_days=span.days, window_from=span.from_ms, window_to=span.to_ms,
        counts=told.counts, figures=told.figures, calibration=told.calibration,
    )  # fmt: skip
    if series is None:
        return record
    return msgspec.structs.replace(record, model=series.model, stage=series.stage)


def labels(at_ms: int, counts: LabelCounts, more: Mapping[str, int]) -> Quality:
    """Return what came of the labels that are kept."""
    return Quality(
        quality_id=f"labels/{at_ms}", kind="labels", at=at_ms,
        what=f"{counts.labels:,} labels: {counts.judging:,} judge, {counts.replaced:,} were replaced,"
        f" {counts.repeated:,} repeat, {counts.waiting:,} wait, {counts.unmatched:,} judge no known event",
        counts={**counts._asdict(), **more}, figures={},
    )  # fmt: skip


def unmatched(at_ms: int, rows: Columns, cut_ms: int) -> Iterator[Quality]:
    """Yield a record for each of the first labels that have waited long enough.

    Args:
        cut_ms: events older than this are not kept, so their labels come too late rather than unknown.
    """
    for row in range(min(length(rows), UNMATCHED_TOLD_MAX)):
        event, label_ms = rows["id"][row].decode(), int(rows["label_ms"][row])
        late = int(rows["event_ms"][row]) <= cut_ms
        yield Quality(
            quality_id=f"label_unmatched/{event}/{label_ms}/{rows['partition'][row]}-{rows['pos'][row]}",
            kind="label_unmatched", at=at_ms, event_id=event,
            code="Q_LABEL_TOO_LATE" if late else "Q_LABEL_UNKNOWN_EVENT",
            what=f"a label of {day(label_ms)} judges an event of {day(int(rows['event_ms'][row]))} that"
            + (" is older than any window" if late else " no prediction knows"),
            what_to_do="nothing" if late else _UNKNOWN_NEXT,
            counts={"positive": int(rows["positive"][row])}, figures={},
        )  # fmt: skip


def segment(span: Span, found: Segment) -> Quality:
    """Return a segment's rates."""
    return Quality(
        quality_id=f"segment/{span.at_ms}/{span.days}d/{found.name}", kind="segment", at=span.at_ms,
        what=f"{found.name}: {found.counts['events']:,} events", segment=found.name,
        window_days=span.days, window_from=span.from_ms, window_to=span.to_ms,
        counts=found.counts, figures=found.figures,
    )  # fmt: skip


def fairness_alert(span: Span, breach: Breach) -> Quality:
    """Return the alert for a segment past its limit."""
    return Quality(
        quality_id=f"fairness_alert/{span.at_ms}/{breach.code}/{breach.segment}", kind="fairness_alert",
        at=span.at_ms, code=breach.code, segment=breach.segment, what=breach.what, what_to_do=_FAIRNESS_NEXT,
        window_days=span.days, window_from=span.from_ms, window_to=span.to_ms, counts={},
        figures=breach.figures,
    )  # fmt: skip


def fairness_cleared(span: Span, key: str) -> Quality:
    """Return the record that an alert (its `Breach.key`) holds no longer."""
    code, _, name = key.partition(" ")
    return Quality(
        quality_id=f"fairness_cleared/{span.at_ms}/{code}/{name}", kind="fairness_cleared", at=span.at_ms,
        code=code, segment=name, what=f"{name} is within the limit again, or too few events tell",
        what_to_do="nothing", counts={}, figures={},
    )  # fmt: skip


def retrain(at_ms: int, fired: Fired, *, starts: bool) -> Quality:
    """Return the record of a trigger that fired."""
    next_step = "wait for the candidate, then compare and promote it" if starts else "run `headrace train`"
    return Quality(
        quality_id=f"retrain/{at_ms}/{fired.code}", kind="retrain", at=at_ms, code=fired.code,
        what=fired.what, what_to_do=next_step, counts={}, figures=fired.evidence,
    )  # fmt: skip


def training(at_ms: int, code: str, what: str, outcome: Outcome | None = None) -> Quality:
    """Return a record of what becomes of a training."""
    model = outcome.model if outcome is not None else ""
    next_step = {
        "T_STARTED": "wait for the candidate",
        "T_CANDIDATE": f"compare (`headrace models compare {model} champion`), then promote it",
        "T_REFUSED": f"see why, then `headrace models promote {model}`",
        "T_SHADOW": f"nothing, or see what it lacks: `headrace models promote {model} --dry-run`",
        "T_PROMOTED": "watch its matured figures; `headrace models rollback` takes it back",
    }.get(code, "read the training's log; run `headrace train`")
    record = Quality(
        quality_id=f"training/{at_ms}/{code}/{model}", kind="training", at=at_ms, code=code, what=what[:1024],
        what_to_do=next_step, counts={}, figures={},
    )  # fmt: skip
    return msgspec.structs.replace(record, model=model) if model else record


def restart(at_ms: int, incarnation: int, what: str) -> Quality:
    """Return the record that the learner began anew."""
    return Quality(
        quality_id=f"restart/{at_ms}/{incarnation}", kind="restart", at=at_ms, what=what,
        what_to_do="nothing: a change of the error before now may go unseen", counts={}, figures={},
    )  # fmt: skip


def day(at_ms: int) -> str:
    """Return a moment for people.

    >>> day(1_525_132_800_000)
    '2018-05-01 00:00'
    """
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
