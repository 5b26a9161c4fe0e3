"""What a run left behind, as data: its topics, its store, its models and what it was declared to do.

The driver fills one; the oracle reads nothing else. It can be written to a file and read back, so that a
run may be judged again later, or after a fault was planted in it.
"""

from pathlib import Path
from typing import Any

import msgspec

Headers = list[tuple[str, bytes | None]]
Place = tuple[int, int]  # partition and offset


class Record(msgspec.Struct, array_like=True):
    """One Kafka record."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = []


class ModelText(msgspec.Struct):
    """A model's text as LightGBM wrote it, and by decision the score from which it holds.

    `name` is name/version, by which shadows and experiments call it.
    """

    text: str
    thresholds: dict[str, float]
    name: str = ""


class RuleText(msgspec.Struct):
    """A rule: its condition as a text, and the decision that a hit asks for."""

    id: str
    severity: str
    when: str


class SourceText(msgspec.Struct, kw_only=True):
    """A source: its contracts' files, oldest first, and what the project says of it.

    `role` is scored, context or labels; `topic` and `known_at` are empty where the contract's hold;
    `positive` is the condition on which a label is positive.
    """

    name: str
    role: str
    contracts: list[str]
    topic: str = ""
    known_at: str = ""
    positive: str = ""


class Declared(msgspec.Struct, kw_only=True):
    """What the run was told to do: sources, features, vector, rules.

    Args:
        sources: the scored one first.
        chain: the entities' names and the fields of their keys, in the order in which records visit them.
        secrets: of personal keys, each with the log time from which it hashes; in hexadecimal.
        entities: name, join_key and views with their features, windows and aggregations, as plain data.
        columns: the model vector's columns, in order.
        profile: those of them that come from the batch view.
        event_formulas: those that the event alone says, as texts over its fields.
        formulas: those that are derived from the other columns, as texts over them.
        categories: the values, by column, of those that the event alone says and that are one of a few texts.
        decisions: from the mildest to the severest.
        thresholds: the policy's own, by decision; None where each model's hold.
        rules: those that are asked, in the order in which predictions list them.
        fallback: the decision where a score was due and none came.
        learner: windows in days, and step, grace, maturity, wait and horizon in ms; None without a learner.
    """

    epoch: int
    project: str
    partitions: int
    sources: list[SourceText]
    chain: list[tuple[str, list[str]]]
    secrets: list[tuple[int, str]] = []
    entities: list[dict[str, Any]]
    columns: list[str]
    profile: list[str]
    event_formulas: dict[str, str]
    formulas: dict[str, str]
    categories: dict[str, list[str]] = {}
    rules: list[RuleText]
    decisions: list[str]
    thresholds: dict[str, float] | None = None
    fallback: str
    learner: dict[str, Any] | None = None


class Answered(msgspec.Struct, kw_only=True):
    """What the HTTP API said of one key at a moment, with everything at rest; `fields` are as asked."""

    entity: str
    fields: dict[str, str | int]
    now_ms: int
    values: dict[str, float | None]
    degraded: list[str] = []


class Lost(msgspec.Struct, array_like=True):
    """Offsets [frm, to) of a raw topic's partition that were deleted unread, and accepted as lost."""

    topic: str
    partition: int
    frm: int
    to: int


class Dump(msgspec.Struct, kw_only=True):
    """Everything of a run that is judged; topics are named without a run's prefix.

    Args:
        topics: records by topic, in order of partition and offset; `predictions` read committed.
        store: the online store's hashes by key.
        models: by the digest that predictions name.
        seen: what a reader that was there all the time read of `predictions`, committed: place and value.
        lake: the places of the rows of each dataset: of the raw record for those of the feature log, else of
            the row's own record.
        answers: of the HTTP API, at rest.
        lost: what was accepted as lost; `topics` holds these records all the same.
    """

    declared: Declared
    topics: dict[str, list[Record]]
    store: dict[bytes, dict[bytes, bytes]]
    models: dict[str, ModelText]
    seen: list[tuple[int, int, bytes]]
    lake: dict[str, list[Place]]
    answers: list[Answered] = []
    lost: list[Lost] = []

    def is_lost(self, topic: str, partition: int, offset: int) -> bool:
        """Return whether a raw record was accepted as lost: nothing need have come of it."""
        return any(
            (one.topic, one.partition) == (topic, partition) and one.frm <= offset < one.to
            for one in self.lost
        )

    def save(self, path: Path) -> None:
        """Write it to a file."""
        path.write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, path: Path) -> "Dump":
        """Read it from a file."""
        return msgspec.msgpack.decode(path.read_bytes(), type=cls)

    def copy(self) -> "Dump":
        """Return a copy whose lists and mappings may be changed; records are shared, so replace them."""
        return msgspec.structs.replace(
            self,
            topics={name: list(records) for name, records in self.topics.items()},
            store={key: dict(fields) for key, fields in self.store.items()},
            models=dict(self.models),
            seen=list(self.seen),
            lake={name: list(rows) for name, rows in self.lake.items()},
            answers=list(self.answers),
        )
