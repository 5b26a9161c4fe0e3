"""Each rule of the protocol taken away, one at a time: the simulation must fail without it.

The variants stand in the place of the service's own functions for the length of a run; the service has no
such switches. Each says in its docstring what the careless code would have done.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from confluent_kafka import KafkaException

import inference.scorer.scorer as scorer
import streams.gate.core as gate
import streams.stage.changelog as changelog
from contracts.errors import HeadraceError
from contracts.frame import Columns, Frame, take
from contracts.strict_verdict import Rejection
from features.partition_clock import PartitionClock
from features.state import Applied, EntityState, Merged
from inference.scorer import kafka as scorer_kafka
from inference.scorer.position import Position
from runtime import ending
from streams.gate.acknowledgements import Acknowledgements
from streams.gate.worker import GateWorker
from streams.stage.core import Snapshot, StageCore
from streams.stage.outputs import PartitionOutputs
from streams.stage.partition import StagePartition
from streams.stage.worker import StageWorker
from tests.simulation.clients import SimConsumer
from tests.simulation.simulation import Aim, Simulation

Patches = list[Any]
RULES: dict[str, Callable[[Simulation], Patches]] = {}


def rule(name: str) -> Callable[[Callable[[Simulation], Patches]], Callable[[Simulation], Patches]]:
    """Register what takes a rule away."""

    def register(variant: Callable[[Simulation], Patches]) -> Callable[[Simulation], Patches]:
        RULES[name] = variant
        return variant

    return register


AIMS = {"B2": Aim.CHECKPOINT, "B6": Aim.STORE, "D2": Aim.SCORER, "D3": Aim.SCORER}


@contextmanager
def aimed(name: str, simulation: Simulation) -> Iterator[None]:
    """Leave all rules as they are, but aim the faults as if the rule were taken away."""
    simulation.aim = AIMS.get(name)
    if simulation.aim is not None:
        simulation.faults.budget = max(6, simulation.faults.budget)
    yield


@contextmanager
def without(name: str, simulation: Simulation) -> Iterator[None]:
    """Take a rule away for the length of a run."""
    patches = RULES[name](simulation)
    for patch in patches:
        patch.start()
    try:
        with aimed(name, simulation):
            yield
    finally:
        for patch in patches:
            patch.stop()


def _accept_everywhere(accept: Callable[..., Columns]) -> Patches:
    return [
        mock.patch("streams.stage.core.accept", accept),
        mock.patch("inference.scorer.scorer.accept", accept),
    ]


@rule("A1")
def no_places(_simulation: Simulation) -> Patches:
    """Lanes by origin: a reader keeps the highest raw offset of each writer and raw partition."""

    def accept(frame: Frame, lanes: dict[str, int], on_gap: Any) -> Columns:
        fresh = []
        partitions, offsets = frame.rows["raw_partition"].tolist(), frame.rows["raw_offset"].tolist()
        for row, (partition, offset) in enumerate(zip(partitions, offsets, strict=True)):
            lane = f"{frame.src}:{frame.kind == 2}:{partition}"
            if offset + 1 > lanes.get(lane, 0):
                lanes[lane] = offset + 1
                fresh.append(row)
        return take(frame.rows, fresh)  # type: ignore[arg-type]

    return _accept_everywhere(accept)


@rule("A2")
def no_contiguity(_simulation: Simulation) -> Patches:
    """A record that begins beyond the lane is taken all the same."""

    def accept(frame: Frame, lanes: dict[str, int], on_gap: Any) -> Columns:
        begin = max(lanes.get(frame.src, 0), frame.frm if frame.claim else 0)
        lanes[frame.src] = max(begin, frame.to)
        return take(frame.rows, frame.rows["pos"] >= begin)

    return _accept_everywhere(accept)


@rule("A3")
def no_claim(_simulation: Simulation) -> Patches:
    """The first record of a new writer is read like any other."""
    real = scorer.accept

    def accept(frame: Frame, lanes: dict[str, int], on_gap: Any) -> Columns:
        return real(frame._replace(claim=False), lanes, on_gap)

    return _accept_everywhere(accept)


@rule("A4")
def no_fail_stop(_simulation: Simulation) -> Patches:
    """A record that was not delivered is sent again by hand."""
    init, gate_init = PartitionOutputs.__init__, GateWorker.__init__

    def outputs(self: Any, producer: Any, topic: str, letters: Any) -> None:
        init(self, _Persistent(producer), topic, letters)

    def gate_worker(self: Any, settings: Any, metrics: Any) -> None:
        gate_init(self, settings, metrics)
        self._producer = _Persistent(self._producer)

    return [
        mock.patch.object(PartitionOutputs, "__init__", outputs),
        mock.patch.object(GateWorker, "__init__", gate_worker),
    ]


class _Persistent:
    """A producer with a try of its own after a failed delivery."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def produce(self, *record: Any, on_delivery: Any = None, **more: Any) -> None:
        """Hand the record over, again and again."""
        if on_delivery is None:  # as the stages call it: topic, value, callback
            *record, on_delivery = record  # type: ignore[assignment]

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                on_delivery(None, message)
            else:
                self.produce(*record, on_delivery=on_delivery, **more)

        self._producer.produce(*record, on_delivery=delivered, **more)


@rule("B1")
def no_atomic_checkpoint(_simulation: Simulation) -> Patches:
    """Changed rows and marker are plain records, each durable on its own."""

    def commit(self: Any, snapshot: Snapshot) -> None:
        marker = (changelog.MARKER, changelog.msgspec.json.encode(snapshot.marker))
        self._produce([*snapshot.entries, marker])
        if self._producer.flush():
            raise AssertionError("still flying")

    return [*_plain_changelog(), mock.patch.object(changelog.Changelog, "commit", commit)]


def _plain_changelog() -> Patches:
    make = changelog.Changelog.__init__

    def init(self: Any, kafka: Any, topic: str, partition: int, _id: str) -> None:
        make(self, kafka, topic, partition, "")

    def take_over(self: Any, reader: Any, definitions_hash: str, look: Any) -> Any:
        return changelog.restored(reader.read(self._topic, self._partition), definitions_hash, "plain")

    return [
        mock.patch.object(changelog.Changelog, "__init__", init),
        mock.patch.object(changelog.Changelog, "take_over", take_over),
    ]


@rule("B2")
def no_fence_first(simulation: Simulation) -> Patches:
    """The changelog is read first, and predecessors are fenced after that."""

    def take_over(self: Any, reader: Any, definitions_hash: str, look: Any) -> Any:
        entries = reader.read(self._topic, self._partition)
        simulation.world.wait(simulation.world.rng.random() * 40)
        self._producer.init_transactions(30)
        return changelog.restored(entries, definitions_hash, "unfenced")

    return [mock.patch.object(changelog.Changelog, "take_over", take_over)]


@rule("B3")
def no_read_committed(_simulation: Simulation) -> Patches:
    """The changelog is read with what was aborted or is still open."""
    make = SimConsumer.__init__

    def init(self: Any, net: Any, conf: dict[str, Any]) -> None:
        make(self, net, conf)
        if conf["group.id"] == "headrace-changelog-reader":
            self.committed_only = False

    return [mock.patch.object(SimConsumer, "__init__", init)]


@rule("B4")
def no_boundary(_simulation: Simulation) -> Patches:
    """A checkpoint writes the state of the moment at which it is written, under an older marker."""
    snapshot = StageCore.snapshot

    class Later:
        def __init__(self, rows: Any) -> None:
            self._rows = rows

        def __iter__(self) -> Iterator[Any]:
            return iter(self._rows.take_dirty())

    def late(self: StageCore) -> Snapshot:
        with mock.patch.object(self.rows, "take_dirty", list, create=True):
            return snapshot(self)._replace(entries=Later(self.rows))  # type: ignore[arg-type]

    return [mock.patch.object(StageCore, "snapshot", late)]


@rule("B5")
def no_waiting_for_outputs(_simulation: Simulation) -> Patches:
    """A checkpoint, and the gate's commit, do not wait for Kafka to have the outputs."""

    def safe(self: Any) -> Any:
        while self._boundaries:
            self._safe.update(self._boundaries.popleft().places)
        found, self._safe = self._safe, {}
        return found

    return [
        mock.patch.object(PartitionOutputs, "acknowledged", return_value=True),
        mock.patch.object(Acknowledgements, "safe", safe),
    ]


@rule("B6")
def no_waiting_for_the_store(_simulation: Simulation) -> Patches:
    """A checkpoint does not wait for the online store to have the rows."""

    def may_commit(self: Any, checkpoint: Any) -> bool:
        return checkpoint.mark is not None and self._outputs.acknowledged(checkpoint.mark)

    return [mock.patch.object(StagePartition, "_may_commit", may_commit)]


@rule("B7")
def no_end_after_unknown_commit(_simulation: Simulation) -> Patches:
    """A commit whose outcome is not known is taken for an abort, and the producer goes on."""
    commit, abort = changelog.Changelog.commit, scorer.Scorer._abort

    def again(self: Any, snapshot: Snapshot) -> None:
        try:
            commit(self, snapshot)
        except Exception as stop:
            if "_TIMED_OUT" not in str(stop):
                raise
            self._producer.failed = False
            again(self, snapshot)

    def carry_on(self: Any, error: KafkaException) -> None:
        if "_TIMED_OUT" not in str(error):
            abort(self, error)
            return
        self._begin("the outcome is not known")
        for number, at in self._positions.items():
            self._consumer.seek(scorer.TopicPartition(self._log, number, at.offset))

    return [
        mock.patch.object(changelog.Changelog, "commit", again),
        mock.patch.object(scorer.Scorer, "_abort", carry_on),
    ]


@rule("C1")
def no_compare(simulation: Simulation) -> Patches:
    """The store takes whatever row comes last."""
    return [mock.patch.object(simulation.store, "compares", False)]


@rule("D1")
def no_lanes_in_metadata(_simulation: Simulation) -> Patches:
    """The scorer commits offsets alone."""
    real = scorer.encode_lanes
    return [mock.patch.object(scorer, "encode_lanes", lambda lanes, where, *more: real({}, where, *more))]


@rule("D2")
def no_generation(_simulation: Simulation) -> Patches:
    """Consumed offsets are committed without the group's generation."""

    def metadata(self: SimConsumer) -> Any:
        return SimpleNamespace(group=self.group_name, member="", generation=None)

    return [mock.patch.object(SimConsumer, "consumer_group_metadata", metadata)]


@rule("D3")
def no_waiting_for_pending(_simulation: Simulation) -> Patches:
    """The scorer asks for offsets without waiting for those in an open transaction."""
    make = scorer_kafka.new_consumer

    def consumer(kafka: Any, name: str, group: str, own: dict[str, Any]) -> Any:
        return make(kafka, name, group, own | {"isolation.level": "read_uncommitted"})

    return [mock.patch.object(scorer_kafka, "new_consumer", consumer)]


@rule("D4")
def no_way_back(_simulation: Simulation) -> Patches:
    """After an abort the scorer reads again from the committed offsets, but keeps its lanes."""

    def settle(self: Any, batch: Any) -> None:
        scored = self._core.score(batch.rows, self._clock.now_ms())
        try:
            self._commit(scored, batch.reached)
        except KafkaException as error:
            self._abort(error)
            for number, at in batch.reached.items():
                if number in self._positions:
                    self._positions[number] = Position(self._positions[number].offset, at.lanes)
            return
        self._positions.update(batch.reached)

    return [mock.patch.object(scorer.Scorer, "_settle", settle)]


@rule("E1")
def no_pure_verdict(simulation: Simulation) -> Patches:
    """The gate's verdict depends on who judges: a quota, a clock, another version."""
    real = gate.judge

    def judge(topic: str, batch: Any) -> Any:
        process = simulation.world.process
        number = process.number if process is not None else 0
        verdict = real(topic, batch)
        offsets = verdict.good["raw_offset"]
        whimsical = (offsets % 3 == 0) & bool(number % 2)
        if topic == "labels" or not whimsical.any():
            return verdict
        bad = [
            Rejection(row, "E_QUOTA", "too many", "transactions", "1.0.0")
            for row in verdict.good_index[whimsical].tolist()
        ]
        return verdict._replace(
            good=take(verdict.good, ~whimsical), good_index=verdict.good_index[~whimsical],
            bad=sorted(verdict.bad + bad),
        )  # fmt: skip

    return [mock.patch.object(gate, "judge", judge)]


@rule("G1")
def no_end_after_any_exception(simulation: Simulation) -> Patches:
    """An exception that is not ours is left to whoever called: loop, future, thread, Faust's agent."""
    end = ending.end

    def left(error: HeadraceError, cause: BaseException | None = None) -> None:
        if cause is None or isinstance(cause, HeadraceError):
            end(error, cause)
        simulation.world.trace(f"{error} is left to its caller")

    return [mock.patch.object(ending, "end", left)]


@rule("F1")
def no_hole_is_seen(_simulation: Simulation) -> Patches:
    """A stage goes on behind a record that it never got."""

    def is_next(self: Any, offset: int) -> bool:
        return bool(offset >= self.input_offset)

    return [mock.patch.object(StageCore, "_is_next", is_next)]


@rule("F2")
def no_checkpoint_while_rebalancing(simulation: Simulation) -> Patches:
    """Checkpoints start with batches alone, so that none starts while the group rebalances."""
    tick = StageWorker.tick

    def idle(self: Any, *, hurry: bool) -> None:
        if not hurry:
            tick(self, hurry=False)

    return [mock.patch.object(StageWorker, "tick", idle)]


@rule("H1")
def no_doubt_of_one_row(_simulation: Simulation) -> Patches:
    """A partition's clock believes every row: it is the newest time of any."""
    fold = EntityState.fold

    def believing(self: EntityState, batch: Merged) -> Applied:
        newest_ms = np.maximum.accumulate(batch.times_ms)
        return fold(self, batch._replace(shown_ms=np.maximum(newest_ms, self.clock.now_ms)))

    return [mock.patch.object(EntityState, "fold", believing)]


@rule("H2")
def no_clock_in_the_checkpoint(_simulation: Simulation) -> Patches:
    """A partition's clock begins again with its incarnation."""
    return [mock.patch.object(PartitionClock, "load", return_value=None)]


@rule("I1")
def no_wait_for_what_is_held(_simulation: Simulation) -> Patches:
    """The gate commits all that it has read, also what it holds back for other sources."""

    def read_upto(self: Any, place: tuple[str, int]) -> int:
        return int(self._core.next_offset(*place))

    return [mock.patch.object(GateWorker, "_sent_upto", read_upto)]


@rule("I2")
def no_end_before_what_is_held(_simulation: Simulation) -> Patches:
    """A record batch says that it reaches up to all that was read, beyond rows that are held back."""
    route = gate.GateCore.route

    def routed(self: Any, topic: str, partition: int, rows: Columns, _upto: int | None = None) -> Any:
        return route(self, topic, partition, rows)

    return [mock.patch.object(gate.GateCore, "route", routed)]
