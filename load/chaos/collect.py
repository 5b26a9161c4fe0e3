"""Everything that a run left behind, as the data which the oracle judges."""

from pathlib import Path
from typing import Any

import msgspec

from contracts.connections import KafkaConnection
from contracts.pipeline import SourceStream
from features.aggregations import Aggregation
from features.declare import Source
from features.expressions import Tree, Type, text
from features.project.policy_file import FILE as POLICY
from features.project.running import RunningProject, project_of_process
from inference.learning.settings import LearnerSettings
from inference.models.manifest import MANIFEST_FILE, MODEL_FILE, digest
from inference.offline.lake.lake import Lake
from inference.policy.policy import read_policy
from inference.policy.rule import Rule
from inference.policy.rules import declared_rules
from load.chaos.records import read_all
from load.chaos.settle import client
from load.chaos.stack import ChaosStack, learns
from load.oracle.dump import Answered, Declared, Dump, Lost, ModelText, Record, RuleText, SourceText
from runtime.input_record import InputRecord
from runtime.personal_keys import keys_for
from runtime.run import Run

OWN_KEYS = b"headrace:"  # notes of the service's about the store, no rows
OUT = ("features.log", "predictions", "quality", "changelog.learner")
PLACE, RAW_PLACE = ["partition", "offset"], ["raw_partition", "raw_offset"]


def collect(stack: ChaosStack, seen: list[tuple[int, int, bytes]], answers: list[Answered]) -> Dump:
    """Return the dump of a run that is at rest and whose workers have stopped.

    Args:
        seen: what a subscriber read of `predictions`.
        answers: what the HTTP API said when all was at rest.
    """
    project, run = project_of_process(), stack.run
    with client(stack.redis) as store:
        keys = [key for key in store.scan_iter(count=1000) if not key.startswith(OWN_KEYS)]
        rows = {key: store.hgetall(key) for key in keys}
    return Dump(
        declared=declared(project, run.epoch, run.partitions, run),
        topics={topic: whole(stack, topic) for topic in topics_of(project)},
        store=rows,
        models=models(run.models),
        seen=seen,
        lake=lake(project, run.lake),
        answers=answers,
        lost=[Lost(one.topic, one.partition, one.frm, one.to) for one in InputRecord(run.lake).accepted()],
    )


def whole(stack: ChaosStack, topic: str) -> list[Record]:
    """Return a topic's records, and those that a fault deleted of it."""
    left = read_all(stack.kafka, stack.run.topic_prefix + topic)
    there = {(one.partition, one.offset) for one in left}
    gone = {(one.partition, one.offset): one for one in stack.deleted.get(topic, [])}
    missing = [one for place, one in gone.items() if place not in there]
    return sorted([*left, *missing], key=lambda one: (one.partition, one.offset))


def topics_of(project: RunningProject) -> list[str]:
    """Return the topics that are judged, without a run's prefix."""
    between = [topic.name for topic in project.pipeline.stage_inputs.values()]
    return [topic.name for topic in project.pipeline.source_topics] + between + list(OUT)


def declared(project: RunningProject, epoch: int, partitions: int, run: Run | None = None) -> Declared:
    """Return what a project declares, as plain data; `run` has the secrets of its personal keys."""
    policy = read_policy(project.folder / POLICY, project).policy
    service, pipeline = project.service, project.pipeline
    secrets = keys_for(pipeline, run) if run is not None else None
    sources = project.compiled.declared.sources if project.compiled.declared else ()
    return Declared(
        epoch=epoch, project=project.keyspace, partitions=partitions,
        sources=[
            source_text(project, source, stream)
            for source, stream in zip(sources, pipeline.sources, strict=True)
        ],
        chain=[(link.name, list(link.fields)) for link in pipeline.chain.links],
        secrets=[(key.from_ms, key.secret.hex()) for key in secrets.versions] if secrets else [],
        entities=[plain(entity) for entity in project.entities],
        columns=list(service.columns),
        profile=[name for view in project.batch_views for name in view.columns],
        event_formulas={one.name: text(one.tree) for one in service.of_event},
        formulas={one.name: text(one.tree) for one in service.of_features},
        categories={name: list(values) for name, values in service.categories.items()},
        rules=rule_texts(project, declared_rules(policy.rules, project)),
        decisions=list(project.decisions.names),
        thresholds=None if isinstance(policy.thresholds, str) else dict(policy.thresholds),
        fallback=policy.fallback, learner=learner() if learns(project) else None,
    )  # fmt: skip


def source_text(project: RunningProject, source: Source, stream: SourceStream) -> SourceText:
    """Return a source as its files and its declaration say it."""
    return SourceText(
        name=stream.name, role=stream.role,
        contracts=[Path(version.file).read_text() for version in project.compiled.versions(source)],
        topic=source.topic, known_at=source.known_at,
        positive="" if source.positive is None else text(source.positive.tree),
    )  # fmt: skip


def rule_texts(project: RunningProject, rules: tuple[Rule, ...]) -> list[RuleText]:
    """Return the rules that are asked, with their figures in their conditions."""
    return [RuleText(one.id, project.decisions.names[one.severity], text(one.condition)) for one in rules]


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
        name = f"{about['name']}/{about['version']}"
        found[digest(text)] = ModelText(text.decode(), about["thresholds"], name)
    return found


def lake(project: RunningProject, folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Return the places of the rows of each dataset that is judged, as the lake's readers see them."""
    pipeline = project.pipeline
    wanted = {topic.name.replace(".", "_"): PLACE for topic in pipeline.source_topics} | {
        "predictions": PLACE
    }
    wanted |= {pipeline.log_dataset(source): RAW_PLACE for source in pipeline.sources}
    found: dict[str, list[tuple[int, int]]] = {}
    for dataset, columns in wanted.items():
        if not Lake(folder, project).has(dataset):
            found[dataset] = []
            continue
        table = Lake(folder, project).read(dataset, columns)
        found[dataset] = list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    return found
