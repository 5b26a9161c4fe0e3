"""The demo, phase by phase: history, a model, live records, and what a subscriber saw of it all."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from contracts.errors import ClusterError
from features.project.running import RunningProject
from headrace.demo.faults import injected_faults, reports
from headrace.demo.input import DemoInput
from headrace.demo.plan import DemoPlan, parts, refreshes
from headrace.demo.progress import Progress
from headrace.demo.quality import live_quality, truth_by_slot
from headrace.demo.stack import CommandFailed, DemoStack
from headrace.demo.summary import Facts, summarise
from headrace.demo.view import View
from headrace.traffic.observed import Observed
from headrace.traffic.pacing import at_rate, at_speed
from headrace.traffic.producer import RecordProducer
from headrace.traffic.replay import Replay
from headrace.traffic.result_reader import ResultReader
from headrace.traffic.sending import outgoing

STALL_SECONDS = 90.0
TOO_LITTLE_TO_LEARN = ("E_TRAIN_POSITIVES", "E_TRAIN_LABELS", "E_TRAIN_NO_LABEL", "E_LAKE_EMPTY")
NO_MODEL = "E_TRAIN_NO_LABEL"
POLL_SECONDS = 0.02
SLICE_EVENTS = 1_000
IN_FLIGHT_MAX = 12_000


class Driver:
    """Runs one demo on a stack that is up; `run` returns the summary."""

    def __init__(
        self, plan: DemoPlan, given: DemoInput, stack: DemoStack, view: View, progress: Progress,
        project: RunningProject,
    ) -> None:  # fmt: skip
        self._plan, self._given, self._stack, self._project = plan, given, stack, project
        self._view, self._progress = view, progress
        self._observed = Observed.of(given.ids, project)
        self._what = project.pipeline.scored.name
        self._facts = Facts(parts(given.moment_ms, plan))
        self._facts.run = str(stack.run.home)
        prefix = stack.run.topic_prefix
        self._producer = RecordProducer(stack.kafka)
        lead, *others = (outgoing(form, records, prefix) for form, records in given.records.items())
        self._replay = Replay(self._producer, lead, others, self._through)
        self._reader = ResultReader(project.pipeline, stack.kafka, prefix, self._observed)
        self._moved: tuple[int, float] = (-1, time.monotonic())

    def run(self) -> dict[str, Any]:
        """Send, train, send again, count; a stall ends the sending and shows in the summary."""
        progress, at = self._progress, self._facts.parts
        progress.observed, progress.total, progress.paced_from = self._observed, at.end, at.paced
        self._reader.start()
        try:
            self._history()
            self._learn()
            self._live()
        except ClusterError as error:
            if error.code != "E_DEMO_STALLED":
                raise
            self._view.say(f"[red]{error}[/red]")
        except BaseException:
            self._reader.stop()  # before the servers end, or it would complain of them
            raise
        self._close()
        return summarise(self._observed, self._facts)

    def _history(self) -> None:
        live, speed = self._facts.parts.live, self._plan.paced_speed
        pace = "as fast as they are digested" if speed is None else f"at {self._pace_in_words()}"
        self._view.phase("history", f"history: {live:,} {self._what} {pace}, rules alone")
        with self._timed("history", live):
            if speed is None:
                self._replay.rush(0, live, SLICE_EVENTS, IN_FLIGHT_MAX)
            else:
                self._replay.pace(0, live, at_speed(self._given.moment_ms[:live], speed))
            self._await_through(live)
        self._refresh(live)

    def _learn(self) -> None:
        """Train on what the lake holds, and wait until the scorer serves the model.

        History may be too short to have positive labels, or the project may have no model; then rules go on
        alone, and the summary says why.
        """
        if self._project.model is None:
            self._facts.no_model = NO_MODEL
            self._view.say("no model: the project declares features alone")
            return
        self._view.phase("train", "training the first model on the feature log and the labels known by now")
        try:
            with self._timed("train"):
                entry = self._stack.train(event_alone=True)
        except CommandFailed as error:
            if error.reason not in TOO_LITTLE_TO_LEARN:
                raise
            self._facts.no_model = error.reason
            self._view.say(
                f"[yellow]no model, rules alone: {error.reason}, too few positive labels yet[/yellow]"
            )
            return
        version = str(entry["version"])
        self._facts.gain = entry["metrics"]["comparison"].get("event_alone", {})
        with self._timed("load model"):
            self._stack.await_model(version)
        self._progress.model_version = version
        self._view.say(f"the scorer serves {version}")

    def _live(self) -> None:
        at, row = self._facts.parts, self._facts.parts.live
        self._view.phase("live", f"live: {at.faults - at.live:,} {self._what} as fast as they are digested")
        for stop in [*refreshes(self._given.moment_ms, at.live, at.faults), at.faults]:
            with self._timed("live", stop - row):
                self._replay.rush(row, stop, SLICE_EVENTS, IN_FLIGHT_MAX)
                self._await_through(stop)
            row = stop
            self._refresh(stop)
        if at.paced > at.faults:
            self._under_faults()
        self._view.phase(
            "paced", f"paced: {at.end - at.paced:,} {self._what} at {self._pace_in_words()}, open loop"
        )
        with self._timed("paced", at.end - at.paced):
            self._paced(at.paced, at.end)
        self._producer.flush()

    def _refresh(self, row: int) -> None:
        """Wait for the lake, and fill the batch views from what came before `row`, as a nightly job would."""
        self._producer.flush()
        self._view.phase("lake", f"the archive writes {row:,} {self._what} to the lake")
        with self._timed("archive"):
            self._await_lake()
        if self._project.batch_views:
            names = ", ".join(view.name for view in self._project.batch_views)
            self._view.phase("materialize", f"feast materialize: {names}, from the lake to Redis")
            with self._timed("materialize"):
                self._stack.materialize(int(self._given.facts.event_ms[:row].max()))
        self._progress.phase = "live"

    def _under_faults(self) -> None:
        at, plan = self._facts.parts, self._plan
        rate = (at.paced - at.faults) / plan.faults.server_seconds
        self._view.phase("faults", f"faults strike while {at.paced - at.faults:,} {self._what} come")
        with self._timed("faults", at.paced - at.faults):
            with injected_faults(plan.faults, self._stack, self._view) as injected:
                self._replay.pace(at.faults, at.paced, at_rate(at.paced - at.faults, rate))
            self._await_through(at.paced)
        self._facts.faults = reports(injected, self._observed)

    def _pace_in_words(self) -> str:
        speed = self._plan.paced_speed
        if speed is None:
            return f"{self._plan.paced_rate:,.0f} a second"
        return f"{speed / 3600:,.1f} hours of event time a second"

    def _paced(self, start: int, stop: int) -> None:
        speed, moments = self._plan.paced_speed, self._given.moment_ms[start:stop]
        due_s = at_rate(stop - start, self._plan.paced_rate) if speed is None else at_speed(moments, speed)
        self._progress.scheduled_s = time.time() + due_s  # near enough for the view
        self._facts.scheduled_s = self._replay.pace(start, stop, due_s)
        self._progress.scheduled_s = self._facts.scheduled_s
        self._await_through(stop)

    def _through(self) -> int:
        """Return how many leading records are done, and end the demo when that has stood still too long."""
        self._progress.sent = self._replay.lead_sent
        through, now_s = self._observed.through(), time.monotonic()
        seen = through + len(self._observed.dead_letters)
        if seen != self._moved[0] or through >= self._replay.lead_sent:
            self._moved = (seen, now_s)
        if now_s - self._moved[1] > STALL_SECONDS:
            what = f"no prediction for {STALL_SECONDS:.0f} s, {through:,} {self._what} are through"
            where = str(self._stack.run.logs)
            raise ClusterError("E_DEMO_STALLED", what, where, "read the workers' logs there")
        if self._reader.failure is not None:
            raise self._reader.failure
        self._stack.check()
        return through

    def _await_through(self, row: int) -> None:
        while self._through() < row:
            self._producer.poll()
            time.sleep(POLL_SECONDS)

    def _await_lake(self) -> None:
        """Wait until features of all scored records so far and all labels so far are in files."""
        predicted = int((self._observed.outcomes.count > 0).sum())
        wanted = {"features": predicted, **self._labels_due()}
        _wait(
            lambda: {name: self._stack.lake_rows(name) for name in wanted}, wanted, STALL_SECONDS,
            f"the lake to hold {', '.join(f'{rows:,} rows of {name}' for name, rows in wanted.items())}",
        )  # fmt: skip

    def _labels_due(self) -> dict[str, int]:
        """Return how many labels that were sent and not refused each dataset of the lake is to hold."""
        refused = Counter(letter.topic for letter in self._observed.dead_letters.values())
        pipeline = self._project.pipeline
        return {
            pipeline.log_dataset(source): self._replay.sent[source.name] - refused[source.topic]
            for source in pipeline.labels
        }

    def _labels_sent(self) -> int:
        return sum(self._replay.sent[source.name] for source in self._project.pipeline.labels)

    def _close(self) -> None:
        """Let late seconds show themselves: a duplicate would come after its first."""
        time.sleep(1.0)
        self._reader.stop()
        self._producer.close()
        facts, given, observed = self._facts, self._given, self._observed
        facts.scored_sent, facts.labels_sent = self._replay.lead_sent, self._labels_sent()
        facts.sent = dict(self._replay.sent)
        if given.malformed is not None:
            facts.malformed = given.malformed.expected
        truth = truth_by_slot(observed, given.truth.ids, given.truth.positive)
        facts.model = live_quality(observed, truth, facts.parts.live, given.facts.key, given.facts.event_ms)
        facts.model["version"] = self._progress.model_version
        if facts.gain:
            facts.model["event_alone"] = facts.gain
        if facts.no_model:
            facts.model["why_none"] = facts.no_model
        shown = (observed.examples.get(decision) for decision in reversed(observed.decisions))
        facts.example = next((prediction_id for prediction_id in shown if prediction_id), "")

    @contextmanager
    def _timed(self, name: str, events: int = 0) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        facts = self._facts
        facts.phase_seconds[name] = facts.phase_seconds.get(name, 0.0) + time.monotonic() - began_s
        facts.phase_events[name] = facts.phase_events.get(name, 0) + events


def _wait(rows: Callable[[], dict[str, int]], wanted: dict[str, int], patience_s: float, what: str) -> None:
    """Wait until there are so many rows, as long as there are more from time to time."""
    found, deadline_s = rows(), time.monotonic() + patience_s
    while any(found[name] < least for name, least in wanted.items()):
        if time.monotonic() > deadline_s:
            raise ClusterError("E_DEMO_STALLED", f"waited {patience_s:.0f} s for {what}; there are {found}")
        time.sleep(0.2)
        before, found = found, rows()
        if found != before:
            deadline_s = time.monotonic() + patience_s
