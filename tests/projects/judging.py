"""A run of any project judged from what it left behind, by the oracle of chaos runs and plain descriptions.

The oracle reads the contracts' files with a reader of its own, the views' descriptions as data, and
conditions, rules and derived features with a parser and an evaluator of its own. Values are compared bit for
bit.
"""

import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

from load.oracle import stages as oracle_stages
from load.oracle.bits import same
from load.oracle.decisions import Scores
from load.oracle.dump import Declared, Dump, ModelText, Record
from load.oracle.findings import Findings
from load.oracle.intake import Origin, intake
from load.oracle.letters import check_letters, origin_of
from load.oracle.predictions import Checked, PredictionReader, check_order
from load.oracle.sources import ProjectOracle
from load.oracle.stages import LOG, Stages, StageWork, StoreRow, feature_log
from load.oracle.strangers import FrameOracle
from load.oracle.windows import PartitionOracle
from tests.simulation.judgement import score_of
from tests.simulation.workers import EPOCH, Stage

HASH_MODEL = {"0" * 64: ModelText("", {}, "hash/1")}
Rows = dict[tuple[str, bytes], StoreRow]


def judged(simulation: Any, declared: Declared) -> list[str]:
    """Return what is wrong with a run; `declared` is what its project was described to be."""
    return judge_dump(dump_of(simulation, declared), states_of(simulation), stored_of(simulation))


def judge_dump(dump: Dump, states: Rows, stored: Rows) -> list[str]:
    """Return what is wrong with what a run left in its topics, its stages' memory and its store."""
    found, project = Findings(), ProjectOracle(dump.declared)
    run = StageWork(dump, project, intake(dump, project), FrameOracle(project))
    known, idle = _stages(run, found)
    order = feature_log(run, known, found)
    predictions = _Predictions(run, known).read(dump.topics["predictions"], found)
    check_order(predictions, order, found)
    check_letters(run, known, found)
    _check_lost(run, known, order, predictions, found)
    _check_latest("state", known, states, idle, found)
    _check_latest("store", known, stored, idle, found)
    return [
        f"{name}: {what}" for name, told in found.examples.items() if name != "lane_holes" for what in told
    ]


def dump_of(simulation: Any, declared: Declared) -> Dump:
    """Return the durable topics of a run."""
    topics: dict[str, list[Record]] = {}
    for (topic, number), log in sorted(simulation.broker.logs.items()):
        topics.setdefault(topic, []).extend(
            Record(number, offset, one.timestamp_ms, one.key, one.value, list(one.headers or []))
            for offset, one in enumerate(log)
            if not one.control and (one.txn is None or one.txn.state == "committed")
        )
    return Dump(declared=declared, topics=topics, store={}, models={}, seen=[], lake={})


def states_of(simulation: Any) -> Rows:
    """Return the newest answer of every key in the stages' memory."""
    found: Rows = {}
    for worker in simulation.live.values():
        if isinstance(worker, Stage):
            for live in worker.worker._live.values():
                newest = live.partition.core.rows.latest()
                for at, key in enumerate(newest.keys.tolist()):
                    found[worker.role, key] = StoreRow(
                        newest.values[at].tolist(), int(newest.event_time_ms[at]), int(newest.positions[at])
                    )
    return found


def stored_of(simulation: Any) -> Rows:
    """Return the rows of the online store."""
    return {
        key: StoreRow(
            [value for (value,) in struct.iter_unpack("<d", row.values)], row.event_time_ms,
            row.stamp[1] if row.stamp[0] == EPOCH else -1,
        )
        for key, row in simulation.store.rows.items()
    }  # fmt: skip


def _stages(run: StageWork, found: Findings) -> tuple[Stages, set[tuple[str, bytes]]]:
    """Do the stages again; keys without a row for longer than any window may be forgotten."""
    kept: list[PartitionOracle] = []

    class Kept(PartitionOracle):
        def __init__(self, entity: Any) -> None:
            super().__init__(entity)
            kept.append(self)

    with mock.patch.object(oracle_stages, "PartitionOracle", Kept):
        known = oracle_stages.stages(run, found)
    return known, {(one.entity.name, key) for one in kept for key in one.keys if one.is_idle(key)}


class _Predictions(PredictionReader):
    """Predictions of the simulation's model, or of none."""

    def __init__(self, run: StageWork, stages: Stages) -> None:
        super().__init__(run, stages)
        declared, kinds = run.dump.declared, run.project.scored.kinds
        self._scores = _HashScores(declared, HASH_MODEL if declared.event_formulas else {}, kinds)


class _HashScores(Scores):
    def _predict(self, sha256: str, some: list[dict[str, Any]]) -> list[float]:
        vectors = [one["features"]["values"] for one in some]
        return [score_of([math.nan if v is None else float(v) for v in vector]) for vector in vectors]


def _check_lost(
    run: StageWork, known: Stages, order: Mapping[Origin, Any], predictions: Mapping[Origin, Checked],
    found: Findings,
) -> None:  # fmt: skip
    """Every good record is in the log and each scored one has a prediction, but for what fell out."""
    scored, silent = run.project.scored, known.repeats | known.conflicts.keys()
    for origin in run.taken.good.keys() - silent:
        if origin not in order:
            found.add("lost", f"{origin} is not in {LOG}")
        elif origin.topic == scored.topic and origin not in predictions:
            found.add("lost", f"{origin} has no prediction")
    letters = {origin_of(record) for record in run.dump.topics[scored.dead_letters]}
    out = Counter(o for o in (*predictions, *known.repeats, *letters) if o.topic == scored.topic)
    if any(count > 1 for count in out.values()) or len(out) != len(run.dump.topics[scored.topic]):
        found.add("conservation", f"{len(run.dump.topics[scored.topic])} records, {len(out)} outcomes")


def _check_latest(
    what: str, known: Stages, rows: Rows, idle: set[tuple[str, bytes]], found: Findings
) -> None:
    for key, due, there in _pairs(known, rows):
        if there is None and key in idle:
            continue
        alike = due is not None and there is not None and same(due.values, there.values)
        if not alike or due is None or there is None or due[1:] != there[1:]:
            found.add("store_mismatch", f"{what} of {key} is {there}, not {due}")


def _pairs(known: Stages, rows: Rows) -> Iterator[tuple[tuple[str, bytes], StoreRow | None, StoreRow | None]]:
    due = {(stage.link.name, key): row for stage in known.made for key, row in stage.store.items()}
    for key in sorted(due.keys() | rows.keys()):
        yield key, due.get(key), rows.get(key)
