"""One decision with everything it was made of, from the lake and the registry; no server needs to run."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from contracts.errors import StateError
from contracts.pipeline import SourceStream
from features.expressions import describe
from features.project.running import RunningProject
from inference.models.manifest import MODEL_FILE
from inference.models.model import LightGbmModel
from inference.offline.lake.event_fields import EventFields
from inference.offline.lake.lake import Lake
from inference.offline.replay.counterfactual import Counterfactual, smallest_change
from inference.offline.replay.recorded import recorded_fields, rows_of, served_of, values_of
from inference.offline.replay.used_model import UsedModels
from inference.policy.engine import PolicyEngine
from inference.policy.store import find
from inference.release.registry import Registry

MASK = "***"
OTHER = ("prediction_id", "event_id", "keys", "event_time", "scored_at", "decision")


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A decision in full.

    `features` are in the service's order: name, value, group, the group's status and age, what the feature
    added to the raw score (log-odds) where a model scored, and the formula of one that is computed, while
    the definitions are this code's. `event` is the raw record with personal
    and undeclared fields masked; `places` say where in each log the event stands. `policy` has the
    thresholds and rule figures that were in force; `counterfactual` is None where policy, model or
    definitions are not here any more. `others` are the other decisions on the same event id, newest
    first: an id that is used again after 24 h, and the same id with other keys, is another event.
    """

    prediction: dict[str, Any]
    features: list[dict[str, Any]]
    base: float | None
    model: dict[str, Any] | None
    model_why: str
    event: dict[str, Any] | None
    places: dict[str, int]
    labels: list[dict[str, Any]]
    predictions_of_event: int
    others: list[dict[str, Any]]
    policy: dict[str, Any] | None
    policy_why: str
    counterfactual: Counterfactual | None


def explain(lake: Lake, registry: Registry, prediction_or_event: str) -> Explained:
    """Return the decision of that id; of several decisions on one event id, the newest.

    Raises:
        StateError: E_EXPLAIN_UNKNOWN, with what is known instead (refused, or not decided yet).
    """
    prediction, others = _newest(lake, predictions_of(lake, prediction_or_event))
    models = UsedModels(lake, registry)
    model, manifest, why = models.of(prediction)
    engine, policy_why = _engine(registry, prediction, lake.project)
    vector = prediction["features"]["values"]
    contributions = (
        _contributions(model, vector) if model is not None and prediction.get("score") is not None else None
    )
    source = prediction["source"]
    names = models.names(prediction)
    return Explained(
        prediction={key: value for key, value in prediction.items() if key != "features"},
        features=_features(lake.project, names, vector, prediction["features"], contributions),
        base=contributions[-1] if contributions else None,
        model=None if manifest is None else {
            "id": f"{manifest['name']}/{manifest['version']}", "thresholds": manifest["thresholds"],
            "definitions_hash": manifest["definitions_hash"], "git_commit": manifest.get("git_commit"),
            "data_hash": manifest.get("data_hash"), "sha256": manifest["sha256"][MODEL_FILE],
            "nulls_never_met": _nulls_never_met(manifest, names, vector),
        },
        model_why=why,
        event=_event(lake, source["partition"], source["offset"]),
        places=_places(lake, source),
        labels=_labels(lake, prediction),
        predictions_of_event=1 + len(others),
        others=[{name: other.get(name) for name in OTHER} for other in others],
        policy=_policy(engine, prediction),
        policy_why=policy_why,
        counterfactual=_counterfactual(lake, engine, model, prediction),
    )  # fmt: skip


def _newest(lake: Lake, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the newest of predictions, and the others on its event id, newest first."""
    newest = max(map(_content, rows), key=_when)
    named = lake.find_all("predictions", "event_id", newest["event_id"])
    others = {other["prediction_id"]: other for other in map(_content, named)}
    others.pop(newest["prediction_id"], None)
    return newest, sorted(others.values(), key=_when, reverse=True)


def _content(row: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(row["value"])
    return content


def _when(prediction: dict[str, Any]) -> tuple[int, int]:
    return prediction["scored_at"], prediction["event_time"]


def _nulls_never_met(
    manifest: dict[str, Any], names: Sequence[str], vector: Sequence[float | None]
) -> list[str]:
    """Return the features that are null here and of which training met no null."""
    never = set(manifest.get("features_never_null", ()))
    return [name for name, value in zip(names, vector, strict=True) if value is None and name in never]


def masked(event: dict[str, Any], scored: SourceStream) -> dict[str, Any]:
    """Return an event with personal and undeclared fields masked."""
    declared = {field.name: field.personal for terms in scored.versions for field in terms.fields}
    return {name: MASK if declared.get(name, True) else value for name, value in event.items()}


def predictions_of(lake: Lake, sought: str) -> list[dict[str, Any]]:
    """Return the lake's rows of a prediction, or of an event's predictions, oldest first; at least one.

    Raises:
        StateError: E_EXPLAIN_UNKNOWN, E_EXPLAIN_REFUSED, E_EXPLAIN_UNDECIDED.
    """
    for column in ("prediction_id", "event_id"):
        found = list(lake.find_all("predictions", column, sought)) if lake.has("predictions") else []
        if found:
            return found
    raise _unknown(lake, sought)


def _engine(
    registry: Registry, prediction: dict[str, Any], project: RunningProject
) -> tuple[PolicyEngine | None, str]:
    """Return the policy that decided, ready to decide again, or why it is not to be had."""
    if "policy" not in prediction:
        return None, "made before predictions named their policy"
    try:
        found = find(registry.models, prediction["policy"]["sha256"], project)
        return PolicyEngine(found, project), ""
    except StateError as error:
        return None, str(error)


def _policy(engine: PolicyEngine | None, prediction: dict[str, Any]) -> dict[str, Any] | None:
    used: dict[str, Any] | None = prediction.get("policy")
    if engine is None or used is None:
        return used
    policy = msgspec.to_builtins(engine.policy)
    parts = ("thresholds", "fallback", "rules", "gatekeeper")
    return used | {name: policy[name] for name in parts}


def _counterfactual(
    lake: Lake, engine: PolicyEngine | None, model: LightGbmModel | None, prediction: dict[str, Any]
) -> Counterfactual | None:
    project = lake.project
    if engine is None or prediction["features"]["definitions_hash"] != project.definitions_hash:
        return None
    if model is None and prediction.get("model") is not None:
        return None
    one = [prediction]
    unrecorded = set(engine.book.fields) - recorded_fields(project)
    rows = rows_of(one, project) | EventFields(lake, unrecorded).of(one)
    return smallest_change(engine, rows, values_of(one)[0], served_of(one, project), model)


def _unknown(lake: Lake, sought: str) -> StateError:
    raw, scored, fields = None, lake.project.pipeline.scored, lake.project.event.fields
    if lake.has(scored.topic) and len(fields) == 1:
        raw = lake.find(scored.topic, fields[0], sought)
    if raw is None:
        return StateError(
            "E_EXPLAIN_UNKNOWN", f"{sought!r} names no prediction and no event", str(lake.folder),
            "give a prediction_id or event_id; what is seconds old may not be in the lake yet",
        )  # fmt: skip
    place = f"{scored.topic}/{raw['partition']}@{raw['offset']}"
    for letter in lake.find_all(scored.dead_letters.name.replace(".", "_"), "origin_offset", raw["offset"]):
        if letter["origin_partition"] == raw["partition"]:
            return StateError(
                "E_EXPLAIN_REFUSED", f"{sought!r} was refused: {letter['code']}, {letter['reason']}", place,
                "see `headrace dlq list`",
            )  # fmt: skip
    return StateError(
        "E_EXPLAIN_UNDECIDED", f"{sought!r} has no decision in the lake", place,
        "wait until the scorer and the archive are there, or look whether it repeats an earlier id",
    )  # fmt: skip


def _contributions(model: LightGbmModel, vector: Sequence[float | None]) -> list[float]:
    row = np.array([[np.nan if cell is None else cell for cell in vector]], dtype=np.float64)
    found: list[float] = model.contributions(row)[0].tolist()
    return found


def _features(
    project: RunningProject,
    names: Sequence[str],
    vector: Sequence[float | None],
    said: dict[str, Any],
    contributions: Sequence[float] | None,
) -> list[dict[str, Any]]:
    is_ours, service = said["definitions_hash"] == project.definitions_hash, project.service
    formulas = {name: describe(tree) for name, tree in service.formulas.items()} if is_ours else {}
    group_of = {name: group for group, members in service.groups.items() for name in members}
    rows = []
    for at, (name, value) in enumerate(zip(names, vector, strict=True)):
        group = group_of.get(name, "")
        state = said["groups"].get(group, {})
        rows.append(
            {
                "name": name, "value": value, "group": group, "status": state.get("status"),
                "age_ms": state.get("age_ms"), "contribution": contributions[at] if contributions else None,
                "formula": formulas.get(name),
            }
        )  # fmt: skip
    return rows


def _event(lake: Lake, partition: int, offset: int) -> dict[str, Any] | None:
    scored = lake.project.pipeline.scored
    row = lake.at(scored.topic, partition, offset)
    if row is None:
        return None
    event: dict[str, Any] = orjson.loads(row["value"])
    return masked(event, scored)


def _places(lake: Lake, source: dict[str, Any]) -> dict[str, int]:
    stages = [name for link in lake.project.pipeline.chain.links for name in (link.partition, link.position)]
    names = (*stages, "partition", "offset", "late")
    for row in lake.find_all("features", "raw_offset", source["offset"]):
        if row["raw_partition"] == source["partition"]:
            return {f"features_log_{n}" if n in ("partition", "offset") else n: int(row[n]) for n in names}
    return {}


def _labels(lake: Lake, prediction: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the labels of the prediction's event, oldest first; those that name others are not its.

    Each says whether it is `positive`, since when that is known, and its own fields of few values.
    """
    named_by, pipeline = lake.project.event, lake.project.pipeline
    sought = named_by.sought(prediction)
    if sought is None or not pipeline.labels:
        return []
    source = pipeline.labels[0]
    own = [field.name for field in source.fields if field.enum]
    named = lake.find_all(pipeline.log_dataset(source), *sought)
    rows = [
        {"positive": bool(row["positive"]), "known_ms": row[source.time], **{name: row[name] for name in own}}
        for row in named
        if named_by.of(row) == named_by.said(prediction)
    ]
    return sorted(rows, key=lambda row: row["known_ms"])
