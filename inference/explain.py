"""One decision with everything it was made of, from the lake and the registry; no server needs to run."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from contracts.errors import ModelError, StateError
from contracts.events import TERMS
from contracts.meaning import Meanings
from contracts.topics import TRANSACTIONS
from features.catalog import SERVICE
from features.service_meaning import service_meaning
from inference.champion import Definitions, load_champion
from inference.lake import Lake
from inference.manifest import MODEL_FILE, Champion
from inference.model import LightGbmModel
from inference.registry import Registry

MASK = "***"


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A decision in full.

    `features` are in the service's order: name, value, group, the group's status and age, and what the
    feature added to the raw score (log-odds) where a model scored. `payment` is the raw event with personal
    and undeclared fields masked; `places` say where in each log the payment stands.
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


def explain(lake: Lake, registry: Registry, prediction_or_transaction: str) -> Explained:
    """Return the decision of that id; of several decisions on one transaction id, the last.

    Raises:
        StateError: E_EXPLAIN_UNKNOWN, with what is known instead (refused, or not decided yet).
    """
    rows = _predictions(lake, prediction_or_transaction)
    if not rows:
        raise _unknown(lake, prediction_or_transaction)
    prediction = orjson.loads(rows[-1]["value"])
    model, manifest, why = _model_of(lake, registry, prediction)
    vector = prediction["features"]["values"]
    contributions = (
        _contributions(model, vector) if model is not None and prediction.get("score") is not None else None
    )
    source = prediction["source"]
    names = _names(lake, prediction, vector)
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


def _predictions(lake: Lake, sought: str) -> list[dict[str, Any]]:
    if not lake.has("predictions"):
        return []
    for column in ("prediction_id", "transaction_id"):
        found = list(lake.find_all("predictions", column, sought))
        if found:
            return found
    return []


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


def _names(lake: Lake, prediction: dict[str, Any], vector: Sequence[float | None]) -> Sequence[str]:
    """Return the names of the prediction's values: those of the service that made it."""
    own, made = service_meaning(), prediction["features"]["definitions_hash"]
    if made == own.hash or len(vector) == len(own.columns):
        return own.columns
    return Meanings((own,), lake.folder).of("service", int(made, 16)).columns


def _definitions(manifest: dict[str, Any], names: Sequence[str], made: str) -> Definitions:
    """Return what the prediction's vector meant to the model that scored it."""
    features = tuple(manifest["features"])
    if len(names) == len(features):
        return Definitions(manifest["definitions_hash"], features)
    return Definitions(made, tuple(names), manifest.get("feature_hashes", {}))


def _model_of(
    lake: Lake, registry: Registry, prediction: dict[str, Any]
) -> tuple[LightGbmModel | None, dict[str, Any] | None, str]:
    """Return the model that scored, checked as the scorer checks it, its manifest, or why there is none."""
    used = prediction.get("model")
    if used is None:
        return None, None, "no model was champion: rules alone decided"
    try:
        entry = registry.find(f"{used['name']}/{used['version']}")
        manifest = registry.manifest(entry)
        if manifest["sha256"][MODEL_FILE] != used["sha256"]:
            return None, None, "the registry holds another text under this version than the one that scored"
        pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
        vector = prediction["features"]["values"]
        names = _names(lake, prediction, vector)
        meant = _definitions(manifest, names, prediction["features"]["definitions_hash"])
        return load_champion(registry.models, pointer, meant), manifest, ""
    except ModelError as error:
        return None, None, str(error)


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
