"""Everything that a run left behind, as the data which the oracle judges."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from contracts.connections import KafkaConnection
from contracts.yaml_file import load as read_yaml
from features.aggregations import Aggregation
from features.catalog import DECISIONS, ENTITIES, PROFILE, PROJECT, SERVICE
from features.expressions import Tree, Type, text
from features.project.schema import schema_of
from inference.learning.settings import LearnerSettings
from inference.models.manifest import MANIFEST_FILE, MODEL_FILE, digest
from inference.offline.lake.lake import Lake
from inference.policy.policy import read_policy
from inference.policy.rule import RuleTerms
from inference.policy.rules import declared_rules
from load.chaos.records import read_all
from load.chaos.settle import client
from load.chaos.stack import ChaosStack
from load.oracle.dump import Answered, Declared, Dump, ModelText, RuleText

OWN_KEYS = b"headrace:"  # notes of the service's about the store, no rows
TOPICS = (
    "transactions", "labels", "transactions.dlq", "labels.dlq", "events.customer", "events.terminal",
    "features.log", "predictions", "quality", "changelog.learner",
)  # fmt: skip
LAKE = {
    "transactions": ["partition", "offset"], "labels": ["partition", "offset"],
    "predictions": ["partition", "offset"], "transactions_dlq": ["partition", "offset"],
    "features": ["raw_partition", "raw_offset"], "label_log": ["raw_partition", "raw_offset"],
}  # fmt: skip


def collect(stack: ChaosStack, seen: list[tuple[int, int, bytes]], answers: list[Answered]) -> Dump:
    """Return the dump of a run that is at rest and whose workers have stopped.

    Args:
        seen: what a subscriber read of `predictions`.
        answers: what the HTTP API said when all was at rest.
    """
    prefix = stack.run.topic_prefix
    with client(stack.redis) as store:
        keys = [key for key in store.scan_iter(count=1000) if not key.startswith(OWN_KEYS)]
        rows = {key: store.hgetall(key) for key in keys}
    return Dump(
        declared=declared(stack.run.epoch, stack.run.project, stack.run.partitions),
        topics={topic: read_all(stack.kafka, prefix + topic) for topic in TOPICS},
        store=rows,
        models=models(stack.run.models),
        seen=seen,
        lake=lake(stack.run.lake),
        answers=answers,
    )


def declared(epoch: int, project: str, partitions: int) -> Declared:
    """Return what this code declares, as plain data."""
    policy = read_policy(PROJECT.policy_path, PROJECT).policy
    return Declared(
        epoch=epoch, project=project, partitions=partitions, entities=[plain(entity) for entity in ENTITIES],
        columns=list(SERVICE.columns), profile=list(SERVICE.stored[PROFILE.name]),
        event_formulas={one.name: text(one.tree) for one in SERVICE.of_event},
        formulas={one.name: text(one.tree) for one in SERVICE.of_features},
        event_kinds={name: kind.kind for name, kind in schema_of(PROJECT.scored_contract).items()},
        rules=rule_texts(policy.rules),
        fallback=policy.fallback, currencies=_currencies(),
        accepted_currencies=["EUR"], learner=learner(),
    )  # fmt: skip


def rule_texts(rules: Mapping[str, RuleTerms]) -> list[RuleText]:
    """Return the rules that are asked, with their figures in their conditions."""
    return [
        RuleText(one.id, DECISIONS.names[one.severity], text(one.condition))
        for one in declared_rules(rules, PROJECT)
    ]


def learner() -> dict[str, Any]:
    """Return what the learner of a run is set to, by default, as plain data."""
    nobody = LearnerSettings(kafka=KafkaConnection(bootstrap_servers="-"), models=Path())
    return {
        "windows": list(nobody.windows), "step_ms": nobody.step_ms,
        "grace_ms": int(nobody.grace_hours * 3_600_000), "maturity_ms": nobody.maturity_ms,
        "wait_ms": nobody.wait_ms, "horizon_ms": nobody.horizon_ms,
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Return a declaration as mappings and lists; an aggregation is named by its class."""
    if isinstance(value, Aggregation):
        return {"class": type(value).__name__, **{name: plain(v) for name, v in vars(value).items()}}
    if isinstance(value, Tree):
        return text(value)
    if isinstance(value, Type):
        return {"kind": value.kind, "nullable": value.nullable, "scale": value.scale}
    if isinstance(value, msgspec.Struct):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return fields | ({"windows": plain(value.windows)} if hasattr(value, "windows") else {})
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, int) else value


def models(folder: Path) -> dict[str, ModelText]:
    """Return every version's text and thresholds by the text's digest."""
    found = {}
    for manifest in folder.glob(f"*/*/{MANIFEST_FILE}"):
        text = (manifest.parent / MODEL_FILE).read_bytes()
        about = msgspec.json.decode(manifest.read_bytes())
        limits, name = about["thresholds"], f"{about['name']}/{about['version']}"
        found[digest(text)] = ModelText(text.decode(), limits["review"], limits["decline"], name)
    return found


def lake(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Return the places of the rows of each dataset that is judged, as the lake's readers see them."""
    found: dict[str, list[tuple[int, int]]] = {}
    for dataset, columns in LAKE.items():
        table = Lake(folder, PROJECT).read(dataset, columns)
        found[dataset] = list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    return found


def _currencies() -> list[str]:
    contract = read_yaml(Path(__file__).parents[2] / "feature_repo" / "contracts" / "transactions.yaml")
    fields = contract["schema"][0]["properties"]
    field = next(one for one in fields if one["name"] == "currency")
    return [one["value"] for one in field["enum"]]
