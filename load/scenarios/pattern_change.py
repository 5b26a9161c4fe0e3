"""The closed loop on real servers: fraud changes its pattern, and the service notices, learns and recovers.

Event time goes on a day at a time: the day's payments and the labels that fall due are sent, everything
settles, the learner reports, and whoever has to act acts. While a model is trained event time stands still,
which it would nearly do in a bank: minutes of training against days of payments.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from contracts.errors import ClusterError
from feature_repo.generator.payments import Generated, generate
from feature_repo.generator.plan import DAY_MS, MINUTE_MS, FraudPlan, LabelPlan, PaymentPlan
from headrace.demo.stack import DemoStack
from headrace.supervisor import LEARNER
from headrace.traffic.observed import Observed
from headrace.traffic.producer import RecordProducer
from headrace.traffic.replay import Replay
from headrace.traffic.result_reader import ResultReader
from headrace.traffic.sending import outgoing
from inference.release.settings import ReleaseGateSettings
from load.payment_records import FORMS, labels_of, payments_of
from load.scenarios.person import Person
from load.scenarios.plot import Line, Mark, draw
from load.scenarios.registry_releases import RegistryReleases
from load.scenarios.story import Series, figures
from load.scenarios.told import Told
from load.this_project import PROJECT
from runtime import environment

WINDOW_DAYS = 7
PROFILE_DAYS = 7
INCIDENTS_BEFORE_MAX, NAMED_WITHIN_DAYS = 3, 3
STALL_S = 600.0  # a training on a busy machine
POLL_S = 0.05
PLAN = PaymentPlan(
    seed=31, events=360_000, customers=8_000, terminals=3_200, days=120.0,
    fraud=FraudPlan(
        ratio=0.03, stolen_share=0.6, terminal_share=0.25, testing_share=0.15, changes_at_ratio=42 / 120,
        changed_gap_ms=20 * MINUTE_MS, changed_scale=(0.05, 0.25),
    ),
    labels=LabelPlan(delay_days=4.0, delay_spread=0.3, delay_days_max=7.0),
)  # fmt: skip
SETTINGS = {
    "HEADRACE_LEARNER_WINDOWS_DAYS": str(WINDOW_DAYS),
    "HEADRACE_LEARNER_GRACE_HOURS": "0",
    "HEADRACE_LEARNER_POLL_MS": "100",
    "HEADRACE_RETRAIN_DRIFT_RATIO": "0",  # drift is seen at once, but there is nothing to learn from yet
    "HEADRACE_RETRAIN_NEW_LABELS_RATIO": "0",
    "HEADRACE_RETRAIN_AGE_DAYS": "0",
    "HEADRACE_RETRAIN_QUALITY_DROP_RATIO": "0.25",
    "HEADRACE_RETRAIN_QUALITY_REPORTS": "3",
    "HEADRACE_RETRAIN_LABELS_MIN": "52000",
    # Of 90 frauds a day each is needed; a limit that chance passes once in 10,000 looks does for weeks.
    "HEADRACE_DRIFT_SAMPLE_EVERY": "1",
    "HEADRACE_DRIFT_WINDOW_MS": str(2 * DAY_MS),
    "HEADRACE_DRIFT_CHANCE_MAX": "1e-4",
    "HEADRACE_RETRAIN_COOLDOWN_DAYS": "14",  # a challenger has its time in shadow
    "HEADRACE_RETRAIN_SETTLE_S": "3",
    "HEADRACE_ARCHIVE_FLUSH_INTERVAL_MS": "1000",
}


@dataclass(slots=True)
class PatternChange:
    """One run of the scenario; `run` returns its figures."""

    tell: Callable[[str], None]
    plan: PaymentPlan = PLAN
    settings: Mapping[str, str] = field(default_factory=lambda: dict(SETTINGS))

    def run(self, name: str) -> dict[str, Any]:
        """Run on fresh topics of local servers (or of those named in the environment).

        Raises:
            ClusterError: E_SCENARIO_STALLED, something does not go on.
        """
        os.environ.update({n: value for n, value in self.settings.items() if n not in os.environ})
        began_s = time.monotonic()
        made = generate(self.plan)
        with DemoStack(environment.root(), name, partitions=1) as stack:
            stack.start(LEARNER)
            self.tell(f"up in {time.monotonic() - began_s:.0f} s; logs in {stack.run.logs}")
            with closing(_Stage(self, made, stack)) as stage:
                found = stage.play()
            found["run"] = str(stack.run.home)
            stack.stop_workers()
        return found | {"seconds": round(time.monotonic() - began_s, 1)}


class _Stage:
    """The sender, the watchers and the person of one run."""

    def __init__(self, scenario: PatternChange, made: Generated, stack: DemoStack) -> None:
        self._scenario, self._made, self._stack = scenario, made, stack
        prefix = stack.run.topic_prefix
        payments = payments_of(made)
        self._observed = Observed.of(payments.ids(), PROJECT)
        self._producer = RecordProducer(stack.kafka)
        labels = labels_of(made)
        lead = outgoing(FORMS["transactions"], payments, prefix)
        others = [outgoing(FORMS["labels"], labels, prefix)]
        self._replay = Replay(self._producer, lead, others, self._observed.through)
        self._reader = ResultReader(PROJECT.pipeline, stack.kafka, prefix, self._observed)
        self._told = Told(stack.kafka, prefix)
        self._heard: set[str] = set()
        self._person = Person(
            RegistryReleases(stack.run.models, environment.settings_of(ReleaseGateSettings))
        )
        self._reader.start()

    def play(self) -> dict[str, Any]:
        """Go through all days and return the figures."""
        plan, moments = self._scenario.plan, self._made.deliver_ms
        change_ms = plan.start_ms + int(plan.fraud.changes_at_ratio * plan.span_ms)
        row = 0
        for day in range(int(plan.days)):
            end_ms = plan.start_ms + (day + 1) * DAY_MS
            stop = len(moments) if day == int(plan.days) - 1 else int(np.searchsorted(moments, end_ms))
            self._send(row, stop)
            row = stop
            if day:
                self._await(partial(self._reported, end_ms - DAY_MS), "the learner's report")
            self._act(day)
            if day % PROFILE_DAYS == PROFILE_DAYS - 1:
                self._profiles(end_ms)
        found = figures(self._told, self._person.acts, change_ms, WINDOW_DAYS)
        found["events"] = int(self._observed.outcomes.count.sum())
        found["missing"] = len(self._observed.missing_rows())
        return found

    def close(self) -> None:
        """Let go of the servers."""
        self._reader.stop()
        self._told.close()
        self._producer.close()

    def _send(self, start: int, stop: int) -> None:
        self._replay.rush(start, stop, 200, 2_000)
        self._await(lambda: self._observed.through() >= stop, "predictions")
        self._producer.flush()

    def _act(self, day: int) -> None:
        """Hear what was said; wait for a training that runs, then do what a person does."""
        heard = 0
        while heard < len(self._told.quality):
            fresh, heard = self._told.quality[heard:], len(self._told.quality)
            fresh = [r for r in fresh if r.quality_id not in self._heard]
            self._heard.update(r.quality_id for r in fresh)
            for r in (r for r in fresh if r.kind in ("retrain", "training", "fairness_alert")):
                self._scenario.tell(f"day {day}: {r.code}: {r.what}")
            if any(r.code == "T_STARTED" for r in fresh):
                self._await(self._training_ended, "the training")
            for act in self._person.hear(fresh):
                self._scenario.tell(f"day {day}: {act.what} {act.model}: {act.why}")
                if act.what == "promote":
                    self._stack.await_model(act.model.partition("/")[2])

    def _reported(self, at_ms: int) -> bool:
        return self._told.reported_ms >= at_ms

    def _training_ended(self) -> bool:
        codes = [r.code for r in self._told.quality if r.kind == "training"]
        return codes.count("T_STARTED") <= sum(
            code in ("T_CANDIDATE", "T_FAILED", "T_LOST") for code in codes
        )

    def _profiles(self, end_ms: int) -> None:
        """Fill the batch view, as a nightly job would; it reads the lake, which lags a moment."""
        predicted = int((self._observed.outcomes.count > 0).sum())
        self._await(lambda: self._stack.lake_rows("features") >= predicted, "the lake")
        self._stack.materialize(end_ms)

    def _await(self, done: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + STALL_S
        while not done():
            if time.monotonic() > deadline_s:
                where = str(self._stack.run.logs)
                waited = f"waited {STALL_S:.0f} s for {what}"
                raise ClusterError("E_SCENARIO_STALLED", waited, where, "read the workers' logs there")
            if self._reader.failure is not None:
                raise self._reader.failure
            self._stack.check()
            self._producer.poll()
            self._told.poll(POLL_S)


def plot(found: dict[str, Any], plan: PaymentPlan = PLAN) -> str:
    """Return the scenario's plot."""
    series: Series = found["series"]

    def day(at_ms: float) -> float:
        return (at_ms - plan.start_ms) / DAY_MS

    lines = [
        Line(name, [(day(at), value) for at, value in points], dashed=name.endswith("shadow"))
        for name, points in series.items()
    ]
    change, after = day(found["change_ms"]), found["days_after_change"]
    names = {
        "drift_incident": "drift is seen", "trigger": "quality trigger: a challenger is trained",
        "promotion": "challenger promoted",
    }  # fmt: skip
    marks = [Mark(change, "fraud changes its pattern")]
    marks += [Mark(change + after[name], text) for name, text in names.items() if after[name] is not None]
    title = f"Average precision of matured windows of {found['window_days']} days"
    return draw(title, "average precision", lines, marks, plan.days)


def problems(found: dict[str, Any]) -> list[str]:
    """Return what the loop failed to do, in words."""
    wrong = [f"{found['missing']} payments have no prediction"] if found["missing"] else []
    for name, at in found["days_after_change"].items():
        if at is None:
            wrong.append(f"no {name.replace('_', ' ')} after the change")
    before, named = found["drift_incidents"]["before_change"], found["days_after_change"]["drift_incident"]
    if before > INCIDENTS_BEFORE_MAX:
        wrong.append(f"{before} drift incidents before anything changed, {INCIDENTS_BEFORE_MAX} are allowed")
    if named is not None and named > NAMED_WITHIN_DAYS:
        wrong.append(f"drift named the change after {named} days, {NAMED_WITHIN_DAYS} are allowed")
    if (found["recovered_ratio"] or 0.0) < 0.5:
        wrong.append("less than half of the lost quality came back")
    return wrong


def write(found: dict[str, Any], json_file: Path | None, plot_file: Path | None) -> None:
    """Write figures and plot where they are wanted."""
    if json_file is not None:
        json_file.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    if plot_file is not None:
        plot_file.write_text(plot(found))
