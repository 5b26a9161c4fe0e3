"""A decision computed again from the lake and compared with what was published, byte for byte.

Raw events and labels go through the features' own kernel in the order of the log, whole keys at a time;
the profile comes from its snapshot; model and policy are those that the prediction names, by digest. The
scorer's own engine and writer then make the record anew. Only circumstances are taken from the record: when
it was decided and how long that took, whether the store answered, how old the profile was, and whether a
batch had room for its reasons.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from contracts.errors import StateError
from contracts.events import Prediction, Reason
from contracts.frame import Columns, take
from features.vector import vectors_of
from inference.models.model import LightGbmModel
from inference.offline.lake.lake import Lake
from inference.offline.replay.features import Recomputed, recompute
from inference.offline.replay.recorded import is_available, served_of
from inference.offline.replay.used_model import UsedModels
from inference.policy.engine import PolicyEngine, by_one
from inference.policy.policy import DeclaredPolicy
from inference.policy.prediction import Judged, PredictionWriter, Timing
from inference.policy.reasons import NOT_EXPLAINED
from inference.policy.store import find
from inference.release.arms import assigned_to, scores_but, usable_scores
from inference.release.registry import Registry

CIRCUMSTANCES = ("scored_at", "latency_ms", "shadow", "experiment")  # the last two are compared by themselves
NEVER = 1 << 30


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a prediction that is not what the log gives; values are as in the record."""

    what: str
    recorded: Any
    replayed: Any


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One decision's outcome: equal in every bit, or what differs."""

    prediction_id: str
    event_id: str
    equal: bool
    differences: list[Difference]


class Replay:
    """Replays predictions of one run.

    Args:
        epoch: the run's; part of every prediction_id.
    """

    def __init__(self, lake: Lake, registry: Registry, epoch: int) -> None:
        self._lake, self._registry, self._epoch = lake, registry, epoch
        self._project, self._models = lake.project, UsedModels(lake, registry)
        self._engine = functools.lru_cache(maxsize=64)(self._engine_of)

    def run(self, records: Sequence[bytes]) -> list[Replayed]:
        """Return the outcome of each prediction, in the order given.

        Args:
            records: predictions as published.
        """
        if not records:
            return []
        said = [orjson.loads(record) for record in records]
        recomputed = recompute(self._lake, said)
        found: dict[int, list[Difference]] = {}
        for places in _alike(said):
            found |= self._group(places, records, said, recomputed)
        return [
            Replayed(
                prediction_id=one["prediction_id"], event_id=one["event_id"],
                equal=not found[at], differences=found[at],
            )
            for at, one in enumerate(said)
        ]  # fmt: skip

    def _group(
        self, places: list[int], records: Sequence[bytes], said: list[dict[str, Any]], recomputed: Recomputed
    ) -> dict[int, list[Difference]]:
        """Return the differences of predictions of one policy, one model and one state of the store."""
        found: dict[int, list[Difference]] = {}
        sound = []
        for at in places:
            obstacles = self._obstacles(said[at], recomputed.missing[at])
            if obstacles:
                found[at] = obstacles
            else:
                sound.append(at)
        if not sound:
            return found
        first = said[sound[0]]
        engine, used = self._engine(first["policy"]["sha256"]), self._models.of(first)
        rows = take(recomputed.rows, np.array(sound))
        written = self._decide(engine, used.model, rows, [said[at] for at in sound])
        for at, again in zip(sound, written, strict=True):
            found[at] = self._differences(records[at], again) + self._shadows(said[at]) + self._arm(said[at])
        return found

    def _obstacles(self, prediction: dict[str, Any], missing: str) -> list[Difference]:
        """Return why a prediction cannot be computed again; each is a difference of its own."""
        made = prediction["features"]["definitions_hash"]
        if made != (own := self._project.definitions_hash):
            return [_absent("definitions", made, f"this code has {own}")]
        if missing:
            return [_absent("log", prediction["source"], missing)]
        if "policy" not in prediction:
            return [_absent("policy", None, "made before predictions named their policy")]
        try:
            self._engine(prediction["policy"]["sha256"])
        except StateError as error:
            return [_absent("policy", prediction["policy"], str(error))]
        used = self._models.of(prediction)
        if prediction.get("model") is not None and used.model is None:
            return [_absent("model", prediction["model"], used.why)]
        return []

    def _engine_of(self, sha256: str) -> PolicyEngine:
        declared = find(self._registry.models, sha256, self._project)
        reasons = msgspec.structs.replace(declared.policy.reasons, rows_max=NEVER)
        unbounded = msgspec.structs.replace(declared.policy, reasons=reasons)
        return PolicyEngine(
            DeclaredPolicy(policy=unbounded, sha256=sha256, where=declared.where, data=declared.data),
            self._project,
        )

    def _decide(
        self, engine: PolicyEngine, model: LightGbmModel | None, rows: Columns, said: list[dict[str, Any]]
    ) -> list[bytes]:
        """Return the records that the scorer would write for these rows."""
        project = self._project
        served = served_of(said, project)
        groups = [rows[link.values] for link in project.pipeline.chain.links]
        vectors = vectors_of(project).assemble(rows, groups, rows["profile_values"])
        outcomes = engine.book.judge(vectors, rows)
        cleared = engine.clears(vectors, outcomes, model)
        scores = None if model is None else scores_but(model, vectors, cleared)
        judged = engine.judge(rows, vectors, served, outcomes, scores, cleared, engine.thresholds_of(model))
        reasons = engine.reasons(rows, judged, by_one(model))
        judged = judged._replace(reasons=_as_explained(reasons, said))
        writer = PredictionWriter(self._epoch, engine.rules, engine.used, project)
        return _written(writer, rows, judged, model)

    def _shadows(self, prediction: dict[str, Any]) -> list[Difference]:
        """Return which shadow scores differ; a shadow without a registry entry is one."""
        found = []
        vector = np.array([[np.nan if v is None else v for v in prediction["features"]["values"]]])
        for shadow in prediction["shadow"]:
            name, _, version = shadow["model"].partition("/")
            used = self._models.named(prediction, name, version, None, "shadow")
            again: Any = used.why if used.model is None else float(usable_scores(used.model, vector)[0])
            if again != shadow["score"]:
                found.append(
                    Difference(what=f"shadow {shadow['model']}", recorded=shadow["score"], replayed=again)
                )
        return found

    def _arm(self, prediction: dict[str, Any]) -> list[Difference]:
        """Return whether the event belongs to another arm of the experiment than the prediction says."""
        experiment = prediction.get("experiment")
        if experiment is None:
            return []
        key = np.array([self._project.event.record_key_said(prediction).encode()])
        mine = assigned_to(experiment["id"], experiment["share_percent"], key)[0]
        again = "canary" if mine else "champion"
        if experiment["arm"] == again:
            return []
        return [Difference(what="experiment", recorded=experiment["arm"], replayed=again)]

    def _differences(self, record: bytes, again: bytes) -> list[Difference]:
        recorded, replayed = (msgspec.json.decode(data, type=Prediction) for data in (record, again))
        circumstances = {name: getattr(recorded, name) for name in CIRCUMSTANCES}
        replayed = msgspec.structs.replace(replayed, **circumstances)
        if msgspec.json.encode(replayed) == record:
            return []
        left, right = orjson.loads(record), orjson.loads(msgspec.json.encode(replayed))
        found = [
            Difference(what=what, recorded=a, replayed=b)
            for what, a, b in self._apart(left, right)
            if not _same(a, b)
        ]
        return found or [Difference(what="bytes", recorded=record.decode(), replayed=again.decode())]

    def _apart(self, left: dict[str, Any], right: dict[str, Any]) -> Iterable[tuple[str, Any, Any]]:
        """Yield the parts of two predictions, features one by one."""
        for name in [*left, *(name for name in right if name not in left)]:
            if name != "features":
                yield name, left.get(name), right.get(name)
        features = left["features"], right["features"]
        for name in ("service", "definitions_hash", "groups"):
            yield f"features.{name}", features[0][name], features[1][name]
        for at, name in enumerate(self._project.service.columns):
            was, again = (part["values"][at] if at < len(part["values"]) else None for part in features)
            yield f"features.{name}", was, again


class _Likeness(NamedTuple):
    policy: str
    model: str
    available: bool


def _alike(said: Sequence[dict[str, Any]]) -> Iterator[list[int]]:
    """Yield the places of predictions that one batch could have held."""
    groups: dict[_Likeness, list[int]] = {}
    for at, one in enumerate(said):
        model = orjson.dumps([one.get("model"), one["features"]["definitions_hash"]]).decode()
        likeness = _Likeness(one.get("policy", {}).get("sha256", ""), model, is_available(one))
        groups.setdefault(likeness, []).append(at)
    yield from groups.values()


def _as_explained(
    reasons: Mapping[int, list[Reason]], said: Sequence[dict[str, Any]]
) -> dict[int, list[Reason]]:
    """Return the reasons, less the contributions for which the batch had no room."""
    found = dict(reasons)
    for row, one in enumerate(said):
        if row in found and any(reason["code"] == NOT_EXPLAINED.code for reason in one["reasons"]):
            declared = [r for r in found[row] if r.contribution is msgspec.UNSET]
            found[row] = [*declared, NOT_EXPLAINED]
    return found


def _written(
    writer: PredictionWriter, rows: Columns, judged: Judged, model: LightGbmModel | None
) -> list[bytes]:
    timing = Timing(0.0, 0.0, 0.0, 0.0)  # circumstances; taken from the record before it is compared
    return writer.write(rows, judged, model, timing)


def _same(left: Any, right: Any) -> bool:
    return orjson.dumps(left) == orjson.dumps(right)


def _absent(what: str, recorded: Any, why: str) -> Difference:
    return Difference(what=what, recorded=recorded, replayed=why)
