"""Everything that a run left behind, as the data which the oracle judges."""

from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.connections import KafkaConnection
from contracts.yaml_file import load as read_yaml
from features.aggregations import Aggregation
from features.catalog import ENTITIES, SERVICE
from inference.lake.lake import Lake
from inference.models.manifest import MANIFEST_FILE, MODEL_FILE, digest
from inference.policy import DEFAULT
from inference.policy.policy import read_policy
from load.chaos.settle import client
from load.chaos.stand import Stand
from load.oracle.dump import Declared, Dump, ModelText, Record

TOPICS = (
    "transactions", "labels", "transactions.dlq", "labels.dlq", "events.customer", "events.terminal",
    "features.log", "predictions",
)  # fmt: skip
LAKE = {
    "transactions": ["partition", "offset"], "labels": ["partition", "offset"],
    "predictions": ["partition", "offset"], "transactions_dlq": ["partition", "offset"],
    "features": ["raw_partition", "raw_offset"], "label_log": ["raw_partition", "raw_offset"],
}  # fmt: skip
SILENCE_S = 30.0


def collect(stand: Stand, seen: list[tuple[int, int, bytes]]) -> Dump:
    """Return the dump of a run that is at rest and whose workers have stopped."""
    prefix = stand.run.topic_prefix
    with client(stand.redis) as store:
        rows = {key: store.hgetall(key) for key in store.scan_iter(count=1000)}
    return Dump(
        declared=declared(stand.run.epoch, stand.run.project, stand.run.partitions),
        topics={topic: read_all(stand.kafka, prefix + topic) for topic in TOPICS},
        store=rows,
        models=models(stand.run.models),
        seen=seen,
        lake=lake(stand.run.lake),
    )


def declared(epoch: int, project: str, partitions: int) -> Declared:
    """Return what this code declares, as plain data."""
    policy = read_policy(DEFAULT).policy
    return Declared(
        epoch=epoch, project=project, partitions=partitions, entities=[plain(entity) for entity in ENTITIES],
        columns=list(SERVICE.columns), profile=list(SERVICE.profile),
        rules=policy.rules.figures(), fallback=policy.fallback, currencies=_currencies(),
    )  # fmt: skip


def plain(value: Any) -> Any:
    """Return a declaration as mappings and lists; an aggregation is named by its class."""
    if isinstance(value, Aggregation):
        return {"class": type(value).__name__, **{name: plain(v) for name, v in vars(value).items()}}
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
        table = Lake(folder).read(dataset, columns)
        found[dataset] = list(zip(*(table[name].to_pylist() for name in columns), strict=True))
    return found


def read_all(kafka: KafkaConnection, topic: str) -> list[Record]:
    """Return a topic's committed records, by partition and offset.

    Raises:
        KafkaException: the cluster fell silent or refused.
    """
    consumer = Consumer(
        {
            **kafka.librdkafka(), "group.id": "chaos-collect", "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True, "log_level": 2,
        }
    )  # fmt: skip
    try:
        left = set(consumer.list_topics(topic, SILENCE_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
        records: list[Record] = []
        while left:
            messages = consumer.consume(10_000, 1.0) or consumer.consume(1, SILENCE_S)
            if not messages:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{topic}: no answer"))
            for message in messages:
                error = message.error()
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def _record(message: Message) -> Record:
    headers = [(str(name), value) for name, value in list(message.headers() or [])]
    return Record(
        message.partition() or 0, message.offset() or 0, message.timestamp()[1], message.key(),
        message.value(), headers,  # type: ignore[arg-type]  # header values are bytes or None
    )  # fmt: skip


def _currencies() -> list[str]:
    contract = read_yaml(Path(__file__).parents[2] / "contracts" / "transactions.yaml")
    fields = contract["schema"][0]["properties"]
    field = next(one for one in fields if one["name"] == "currency")
    return [one["value"] for one in field["enum"]]
