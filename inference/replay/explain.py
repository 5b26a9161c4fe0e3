"""One decision with everything it was made of, from the lake and the registry; no server needs to run."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from contracts.errors import StateError
from contracts.events import TERMS
from contracts.topics import TRANSACTIONS
from features.catalog import DEFINITIONS_HASH, SERVICE
from inference.lake.lake import Lake
from inference.models.manifest import MODEL_FILE
from inference.models.model import LightGbmModel
from inference.policy.engine import PolicyEngine
from inference.policy.store import find
from inference.release.registry import Registry
from inference.replay.counterfactual import Counterfactual, smallest_change
from inference.replay.recorded import rows_of, served_of, values_of
from inference.replay.used_model import UsedModels

MASK = "***"


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A decision in full.

    `features` are in the service's order: name, value, group, the group's status and age, and what the
    feature added to the raw score (log-odds) where a model scored. `payment` is the raw event with personal
    and undeclared fields masked; `places` say where in each log the payment stands. `policy` has the
    thresholds and rule figures that were in force; `counterfactual` is None where policy, model or
    definitions are not here any more.
    """

    prediction: dict[str, Any]
    features: list[dict[str, Any]]
    base: float | None
    model: dict[str, Any] | None
    model_why: str
    payment: dict[str, Any] | None
    places: dict[str, int]
    labels: list[dict[str, Any]]
    predictions_of_transaction: int
    policy: dict[str, Any] | None
    policy_why: str
    counterfactual: Counterfactual | None


def explain(lake: Lake, registry: Registry, prediction_or_transaction: str) -> Explained:
    """Return the decision of that id; of several decisions on one transaction id, the last.

    Raises:
        StateError: E_EXPLAIN_UNKNOWN, with what is known instead (refused, or not decided yet).
    """
    rows = predictions_of(lake, prediction_or_transaction)
    prediction = orjson.loads(rows[-1]["value"])
    models = UsedModels(lake, registry)
    model, manifest, why = models.of(prediction)
    engine, policy_why = _engine(registry, prediction)
    vector = prediction["features"]["values"]
    contributions = (
        _contributions(model, vector) if model is not None and prediction.get("score") is not None else None
    )
    source = prediction["source"]
    names = models.names(prediction)
    return Explained(
        prediction={key: value for key, value in prediction.items() if key != "features"},
        features=_features(names, vector, prediction["features"]["groups"], contributions),
        base=contributions[-1] if contributions else None,
        model=None if manifest is None else {
            "id": f"{manifest['name']}/{manifest['version']}", "thresholds": manifest["thresholds"],
            "definitions_hash": manifest["definitions_hash"], "git_commit": manifest.get("git_commit"),
            "data_hash": manifest.get("data_hash"), "sha256": manifest["sha256"][MODEL_FILE],
        },
        model_why=why,
        payment=_payment(lake, source["partition"], source["offset"]),
        places=_places(lake, prediction["transaction_id"], source),
        labels=_labels(lake, prediction["transaction_id"]),
        predictions_of_transaction=len(rows),
        policy=_policy(engine, prediction),
        policy_why=policy_why,
        counterfactual=_counterfactual(engine, model, prediction),
    )  # fmt: skip


def masked(event: dict[str, Any]) -> dict[str, Any]:
    """Return a payment with personal and undeclared fields masked.

    >>> masked({"transaction_id": "t1", "email": "a@example.org", "note": "?"})
    {'transaction_id': 't1', 'email': '***', 'note': '***'}
    """
    declared = {field.name: field.personal for terms in _payment_terms() for field in terms.fields}
    return {name: MASK if declared.get(name, True) else value for name, value in event.items()}


def _payment_terms() -> list[Any]:
    return [terms for terms in TERMS if terms.topic == TRANSACTIONS.name]


def predictions_of(lake: Lake, sought: str) -> list[dict[str, Any]]:
    """Return the lake's rows of a prediction, or of a transaction's predictions, oldest first; at least one.

    Raises:
        StateError: E_EXPLAIN_UNKNOWN, E_EXPLAIN_REFUSED, E_EXPLAIN_UNDECIDED.
    """
    for column in ("prediction_id", "transaction_id"):
        found = list(lake.find_all("predictions", column, sought)) if lake.has("predictions") else []
        if found:
            return found
    raise _unknown(lake, sought)


def _engine(registry: Registry, prediction: dict[str, Any]) -> tuple[PolicyEngine | None, str]:
    """Return the policy that decided, ready to decide again, or why it is not to be had."""
    if "policy" not in prediction:
        return None, "made before predictions named their policy"
    try:
        return PolicyEngine(find(registry.models, prediction["policy"]["sha256"])), ""
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
    engine: PolicyEngine | None, model: LightGbmModel | None, prediction: dict[str, Any]
) -> Counterfactual | None:
    if engine is None or prediction["features"]["definitions_hash"] != DEFINITIONS_HASH:
        return None
    if model is None and prediction.get("model") is not None:
        return None
    one = [prediction]
    return smallest_change(engine, rows_of(one), values_of(one)[0], served_of(one), model)


def _unknown(lake: Lake, sought: str) -> StateError:
    raw = lake.find("transactions", "transaction_id", sought) if lake.has("transactions") else None
    if raw is None:
        return StateError(
            "E_EXPLAIN_UNKNOWN", f"{sought!r} names no prediction and no transaction", str(lake.folder),
            "give a prediction_id or transaction_id; what is seconds old may not be in the lake yet",
        )  # fmt: skip
    place = f"{TRANSACTIONS.name}/{raw['partition']}@{raw['offset']}"
    for letter in lake.find_all("transactions_dlq", "origin_offset", raw["offset"]):
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
    names: Sequence[str],
    vector: Sequence[float | None],
    groups: dict[str, dict[str, Any]],
    contributions: Sequence[float] | None,
) -> list[dict[str, Any]]:
    group_of = {name: group for group, members in SERVICE.groups.items() for name in members}
    rows = []
    for at, (name, value) in enumerate(zip(names, vector, strict=True)):
        group = group_of.get(name, "")
        state = groups.get(group, {})
        rows.append(
            {
                "name": name, "value": value, "group": group, "status": state.get("status"),
                "age_ms": state.get("age_ms"), "contribution": contributions[at] if contributions else None,
            }
        )  # fmt: skip
    return rows


def _payment(lake: Lake, partition: int, offset: int) -> dict[str, Any] | None:
    row = lake.at("transactions", partition, offset)
    if row is None:
        return None
    event: dict[str, Any] = orjson.loads(row["value"])
    return masked(event)


def _places(lake: Lake, transaction_id: str, source: dict[str, Any]) -> dict[str, int]:
    names = (
        "customer_partition",
        "customer_pos",
        "terminal_partition",
        "terminal_pos",
        "partition",
        "offset",
        "late",
    )
    for row in lake.find_all("features", "transaction_id", transaction_id):
        if (row["raw_partition"], row["raw_offset"]) == (source["partition"], source["offset"]):
            return {f"features_log_{n}" if n in ("partition", "offset") else n: int(row[n]) for n in names}
    return {}


def _labels(lake: Lake, transaction_id: str) -> list[dict[str, Any]]:
    found = lake.find_all("label_log", "transaction_id", transaction_id)
    rows = [
        {
            "label": "fraud" if row["label"] else "legitimate",
            "label_time": row["label_time"],
            "source": row["source"],
        }
        for row in found
    ]
    return sorted(rows, key=lambda row: row["label_time"])
