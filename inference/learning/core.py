"""The learner without Kafka: rows in, at each moment that is due a report out.

All it says of a moment is a function of the rows it has read and of the moment; the order in which they came
does not matter, nor does the clock on the wall.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog

from contracts.errors import ModelError
from contracts.events import Quality
from contracts.frame import Columns, length, take
from features.project.running import RunningProject
from inference.learning import fairness, figures, records, triggers
from inference.learning.figures import Scored
from inference.learning.ledger import Ledger
from inference.learning.ports import ErrorWatch, Models, Outcome
from inference.learning.records import Span
from inference.learning.rows import (
    NO_SERIES,
    KeptRows,
    SeriesNumbers,
    Words,
    read_predictions,
)
from inference.learning.settings import LearnerSettings
from inference.learning.triggers import DriftAlert, Standing

WatchOf = Callable[[str], ErrorWatch]
_SAMPLE = 1000
log = structlog.get_logger(__name__)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the learner has said so far, committed with it; all else can be read again.

    `reported_ms` is the last moment reported, `ended_ms` the last end of the log that was, `alerts` the
    fairness alerts that last, `incarnation` counts starts.
    """

    reported_ms: int | None = None
    ended_ms: int | None = None
    alerts: list[str] = []
    standing: Standing = Standing()
    incarnation: int = 0


class Report(NamedTuple):
    """What a moment came to: records for `quality` and `drift`, and whether a training is to start."""

    quality: list[Quality]
    drift: list[Any]
    train_until_ms: int | None = None


class LearnerCore:
    """One run's learner.

    Args:
        project: whose decisions are judged.
        watch_of: makes the detectors of one model's errors, by `name/version`.
    """

    def __init__(
        self, project: RunningProject, settings: LearnerSettings, models: Models, watch_of: WatchOf
    ) -> None:
        self.project, self.kept_rows = project, KeptRows(project)
        self._settings, self._models, self._watch_of = settings, models, watch_of
        self.ledger = Ledger(settings.horizon_ms)
        self.series = SeriesNumbers()
        self.words = {"channel": Words(), "country": Words()}
        self.memory = Memory()
        self.refused = 0
        self._watches: dict[str, ErrorWatch] = {}
        self.alerts: list[DriftAlert] = []
        self._newly: list[Quality] = []

    def take_predictions(self, values: Sequence[bytes]) -> int:
        """Take records of `predictions` in; return the newest event time, 0 without any."""
        read = read_predictions(values, self.series, self.project)
        self.refused += read.refused
        kept = self._sampled(read.predictions["key"])
        if kept is None:
            self.ledger.predictions.add(read.predictions)
            self.ledger.shadows.add(read.shadows)
        else:
            places = read.predictions["place"][kept]
            self.ledger.predictions.add(take(read.predictions, kept))
            self.ledger.shadows.add(take(read.shadows, np.isin(read.shadows["place"], places)))
        return _newest(read.predictions["event_ms"])

    def take_log(self, rows: Columns, kind: int, partition: int) -> int:
        """Take accepted rows of `features.log` in; return the newest event or label time, 0 without any."""
        if not length(rows):
            return 0
        if self.kept_rows.is_label(kind):
            labels = self.kept_rows.labels(rows, kind, partition)
            self.ledger.add_labels(self._sample(labels))
            return _newest(labels["label_ms"])
        if not self.kept_rows.is_event(kind):
            return 0
        events = self.kept_rows.events(rows, self.words)
        self.ledger.events.add(self._sample(events))
        return _newest(events["event_ms"])

    def take_drift(self, value: bytes) -> bool:
        """Take a record of `drift` in; say whether it could be read."""
        try:
            alert = triggers.alert_of(msgspec.json.decode(value, type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError):
            return False
        if alert is not None:
            self.alerts.append(alert)
        return True

    def resume(self, memory: Memory) -> None:
        """Go on from what was said: labels that were reported before are not reported again.

        Call it when exactly the rows that the last report knew have been read.
        """
        self.memory = msgspec.structs.replace(memory, incarnation=memory.incarnation + 1)
        at_ms = memory.reported_ms
        if at_ms is None:
            return
        self.ledger.advance(at_ms)
        self.ledger.newly_judging(at_ms)
        self.ledger.newly_unmatched(at_ms, self._settings.wait_ms)
        self._newly.append(
            records.restart(at_ms, memory.incarnation, "the learner was started again and goes on from here")
        )
        if memory.standing.training:
            self._stand(training=False, started_ms=None)
            lost = "the training ended with the learner that started it"
            self._newly.append(records.training(at_ms, "T_LOST", lost))

    def due(self, watermark_ms: int) -> Iterator[int]:
        """Yield the moments to report, oldest first: those that event time has passed by the grace."""
        step_ms = self._settings.step_ms
        until_ms = watermark_ms - int(self._settings.grace_hours * 3_600_000)
        last_ms = self.memory.reported_ms
        if last_ms is None:
            oldest_ms = self.ledger.oldest_ms()
            if oldest_ms is None:
                return
            last_ms = oldest_ms // step_ms * step_ms
        for at_ms in range(last_ms + step_ms, until_ms + 1, step_ms):
            if self._anything(at_ms):
                yield at_ms

    def report(self, at_ms: int, *, final: bool = False) -> Report:
        """Return what is to be said of a moment, and remember that it was said.

        Args:
            final: of the end of a log rather than of a moment that was due; the next one due stays as it is.
        """
        settings = self._settings
        self.ledger.advance(at_ms)
        told, self._newly = self._newly, []
        days = max(*settings.windows, settings.fairness.window_days, settings.retrain.quality_window_days)
        span = Span(at_ms, days, settings.maturity_ms)
        paid = self.ledger.paid(span.from_ms, span.to_ms)
        judged = self.ledger.judged(paid, at_ms)
        shadows = self.ledger.shadow_scores(paid)
        window = None
        for days in sorted({*settings.windows, settings.retrain.quality_window_days}):
            part = Span(at_ms, days, settings.maturity_ms)
            inside = judged["event_ms"] > part.from_ms
            rows = take(judged, inside)
            told += self._matured(part, rows, {number: s[inside] for number, s in shadows.items()})
            if days == settings.retrain.quality_window_days:
                window = self._window(told, part)
        told += self._fairness(at_ms, judged)
        told += self._labels(at_ms, tell_lost=not final)
        if final:  # what is told once is left to the moments that are due
            told = [msgspec.structs.replace(r, quality_id=f"{r.quality_id}/end") for r in told]
            self.memory = msgspec.structs.replace(self.memory, ended_ms=at_ms)
            return Report(told, [])
        drift = self._errors(at_ms)
        fired, train_until_ms = self._triggers(at_ms, window)
        self.memory = msgspec.structs.replace(self.memory, reported_ms=at_ms)
        return Report(told + fired, drift, train_until_ms)

    def trained(self, outcome: Outcome) -> list[Quality]:
        """Return what is to be said of a training that ended; promote where the policy says so."""
        at_ms = self.memory.reported_ms or 0
        self._stand(training=False)
        if not outcome.model:
            return [records.training(at_ms, "T_FAILED", f"{outcome.code}: {outcome.what}")]
        gain = self._models.gain(outcome.model)
        known = "not compared" if gain is None else f"{gain:+.4f} average precision against the champion"
        told = [records.training(at_ms, "T_CANDIDATE", f"{outcome.model} is trained: {known}", outcome)]
        policy = self._settings.retrain
        first = self._models.champion() is None
        if policy.promote == "policy" and (first or (gain is not None and gain >= policy.promote_gain_min)):
            told.append(self._promote(outcome, at_ms, known))
        return told

    def advance(self, at_ms: int) -> list[Quality]:
        """Promote what the policy let score in shadow as soon as its gates hold; return what is to be said.

        They are asked at each report. While one does not hold the shadow goes on; the log says which.
        """
        if self._settings.retrain.promote != "policy":
            return []
        told = []
        for model in self._models.in_shadow():
            outcome = Outcome(model=model)
            try:
                self._models.promote(model, at_ms, "retraining policy: its gates hold on live events")
            except ModelError as error:
                log.info("shadow_goes_on", model=model, code=error.code, why=str(error))
            else:
                what = f"{model} decides now: its gates hold on live events"
                told.append(records.training(at_ms, "T_PROMOTED", what, outcome))
        return told

    def _promote(self, outcome: Outcome, at_ms: int, known: str) -> Quality:
        try:
            stage = self._models.promote(outcome.model, at_ms, f"retraining policy: {known}")
        except ModelError as error:  # a gate, or somebody was faster: the champion stays
            return records.training(at_ms, "T_REFUSED", f"{outcome.model} was not promoted: {error}", outcome)
        if stage == "shadow":
            what = f"{outcome.model} scores in shadow until its gates hold: {known}"
            return records.training(at_ms, "T_SHADOW", what, outcome)
        return records.training(at_ms, "T_PROMOTED", f"{outcome.model} decides now: {known}", outcome)

    def _matured(self, span: Span, rows: Columns, shadows: dict[int, Any]) -> list[Quality]:
        told = []
        every = _scored(rows, rows["score"], rows["decision"])
        settings, decisions = self._settings, self.project.decisions
        cost, least = settings.review_cost_minor, settings.stratum_labels_min
        told.append(records.matured(span, None, figures.tell(every, None, cost, least, decisions)))
        for number in self._by_name(rows["series"]):
            series, mine = self.series.known[number], rows["series"] == number
            part = take(rows, mine)
            scored = _scored(part, part["score"], part["decision"])
            limits = self._models.thresholds(series.model)
            told.append(records.matured(span, series, figures.tell(scored, limits, cost, least, decisions)))
        for number, scores in [(n, shadows[n]) for n in self._by_name(list(shadows))]:
            series, mine = self.series.known[number], np.isfinite(scores)
            limits = self._models.thresholds(series.model)
            if not mine.any() or limits is None:
                continue  # without thresholds nothing says what it would have decided
            part, score = take(rows, mine), scores[mine]
            scored = _scored(part, score, figures.verdicts(score, limits, decisions))
            told.append(records.matured(span, series, figures.tell(scored, limits, cost, least, decisions)))
        return told

    def _window(self, told: Sequence[Quality], span: Span) -> triggers.Window | None:
        """Return the champion's window: of the model that decides now, once it has matured events."""
        training = self._models.champion()
        for record in told:
            if (
                training is not None and record.kind == "matured" and record.window_days == span.days
                and record.model == training.model and record.stage == "champion"
                and "average_precision" in record.figures
            ):  # fmt: skip
                precision = record.figures["average_precision"]
                return triggers.Window(training.model, precision, record.counts["positives"])
        return None

    def _fairness(self, at_ms: int, judged: Columns) -> list[Quality]:
        settings = self._settings.fairness
        span = Span(at_ms, settings.window_days, self._settings.maturity_ms)
        rows = take(judged, judged["event_ms"] > span.from_ms)
        words = {name: each.known for name, each in self.words.items()}
        found, breaches = fairness.segments(rows, words, settings)
        told = [records.segment(span, each) for each in found]
        lasting = {breach.key: breach for breach in breaches}
        told += [
            records.fairness_alert(span, b) for key, b in lasting.items() if key not in self.memory.alerts
        ]
        told += [records.fairness_cleared(span, key) for key in self.memory.alerts if key not in lasting]
        self.memory = msgspec.structs.replace(self.memory, alerts=sorted(lasting))
        return told

    def _labels(self, at_ms: int, *, tell_lost: bool) -> list[Quality]:
        wait_ms = self._settings.wait_ms
        counts = self.ledger.count_labels(at_ms, wait_ms)
        told = [records.labels(at_ms, counts, {"sample_permille": self._settings.sample_permille})]
        if tell_lost:
            lost = self.ledger.newly_unmatched(at_ms, wait_ms)
            told += records.unmatched(at_ms, lost, self.ledger.cut_ms)
        return told

    def _errors(self, at_ms: int) -> list[Any]:
        """Feed the detectors with the errors that became known, by model."""
        rows, told = self.ledger.newly_judging(at_ms), []
        error = ((rows["decision"] > 0) != (rows["positive"] == 1)).astype(np.float64)
        for number in self._by_name(rows["series"]):
            series, mine = self.series.known[number], rows["series"] == number
            if series.model not in self._watches:
                self._watches[series.model] = self._watch_of(series.model)
                told.append(self._watches[series.model].restart("the first errors since the learner began"))
            told += self._watches[series.model].feed_many(rows["label_ms"][mine], error[mine])
        return told

    def _triggers(self, at_ms: int, window: triggers.Window | None) -> tuple[list[Quality], int | None]:
        policy, standing = self._settings.retrain, self.memory.standing
        standing = triggers.remember(standing, window, policy)
        self.memory = msgspec.structs.replace(self.memory, standing=standing)
        if not triggers.due(standing, at_ms, policy):
            return [], None
        training = self._models.champion()
        since_ms = training.until_ms if training is not None else -1
        newest_ms = max(since_ms, standing.started_ms or since_ms)
        self.alerts = [alert for alert in self.alerts if alert.at_ms > self.ledger.cut_ms]
        alerts = [alert for alert in self.alerts if newest_ms < alert.at_ms <= at_ms]
        known = self._labels_since(since_ms, at_ms)
        fired = triggers.fired(standing, at_ms, training, known, window, alerts, policy)
        if not fired:
            return [], None
        told = [records.retrain(at_ms, each, starts=policy.start_training) for each in fired]
        if not policy.start_training:
            self._stand(started_ms=at_ms)  # told once a cool-down
            return told, None
        self._stand(training=True, started_ms=at_ms, low_reports=0)
        why = ", ".join(each.code for each in fired)
        return [*told, records.training(at_ms, "T_STARTED", f"a training starts for {why}")], at_ms

    def _labels_since(self, since_ms: int, at_ms: int) -> int:
        """Return how many kept events got their ruling label in (since_ms, at_ms]."""
        paid = self.ledger.paid(self.ledger.cut_ms, at_ms)
        label_ms = self.ledger.judged(paid, at_ms)["label_ms"]
        return int((label_ms > since_ms).sum()) if since_ms >= 0 else int((label_ms >= 0).sum())

    def _by_name(self, series: Any) -> list[int]:
        """Return the numbers in a column, by the names they stand for: numbers depend on who came first."""
        numbers = [number for number in np.unique(series).tolist() if number != NO_SERIES]
        return sorted(numbers, key=lambda number: self.series.known[number])

    def _stand(self, **changes: Any) -> None:
        standing = msgspec.structs.replace(self.memory.standing, **changes)
        self.memory = msgspec.structs.replace(self.memory, standing=standing)

    def _anything(self, at_ms: int) -> bool:
        times = self.ledger.predictions.columns()["event_ms"]
        return bool(((times > at_ms - self._settings.horizon_ms) & (times <= at_ms)).any())

    def _sample(self, rows: Columns) -> Columns:
        kept = self._sampled(rows["key"])
        return rows if kept is None else take(rows, kept)

    def _sampled(self, key: Any) -> Any:
        """Return a mask of the events that are kept, None for all."""
        permille = self._settings.sample_permille
        return None if permille >= _SAMPLE else key % np.uint64(_SAMPLE) < np.uint64(permille)


def _scored(rows: Columns, score: Any, verdict: Any) -> Scored:
    return Scored(
        score=score, positive=rows["positive"], decision=rows["decision"].astype(np.int64),
        verdict=verdict.astype(np.int64), amount_minor=rows["amount_minor"],
    )  # fmt: skip


def _newest(times: Any) -> int:
    return int(times.max()) if len(times) else 0
