"""Dead letters of a stage: the row as canonical JSON, since the producer's bytes stayed at the gate.

The headers are the gate's, so that `headrace dlq` reads both alike; readers fold copies by origin.
"""

import json
from decimal import Decimal
from typing import Any, NamedTuple

from contracts.contract_version import ContractField
from contracts.keys import NULL
from contracts.pipeline import Pipeline
from streams.stage.core import DeadLetter


class DeadLetterRecord(NamedTuple):
    """A plain Kafka record."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class DeadLetterTopic(NamedTuple):
    """Where the refused rows of a stage go: to the letters of their source.

    A letter goes to its raw record's partition modulo `partitions`, the run's: the raw topic may have more.
    """

    pipeline: Pipeline
    topic_prefix: str
    stage: str
    partitions: int

    @property
    def topic(self) -> str:
        """The topic of what no source's record is known of: frames that are not ours."""
        return self.pipeline.scored.dead_letters.full_name(self.topic_prefix)

    def record(self, letter: DeadLetter) -> DeadLetterRecord:
        """Return the record of a refused row.

        >>> from features.project.running import project_at
        >>> pipeline = project_at("examples/logins").pipeline
        >>> row = {"login_id": b"t1", "account_id": b"a1", "raw_partition": 2, "raw_offset": 7}
        >>> row |= {"appended_ms": 5, "pos": 8}
        >>> letter = DeadLetter("E_DUP_CONFLICT", "why", 1, row, "events.account/2", 0, 9, True)
        >>> record = DeadLetterTopic(pipeline, "demo.", "account", 4).record(letter)
        >>> record.topic, record.value
        ('demo.logins.dlq', b'{"account_id":"a1","login_id":"t1"}')
        """
        source = self.pipeline.by_number[letter.kind]
        newest = source.versions[-1]
        row = letter.row
        kept = {
            field.name: _plain(field, row[field.name])
            for field in source.fields
            if field.name in row and (field.required or not _is_null(row[field.name]))
        }
        value = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {
            "code": letter.code,
            "reason": letter.reason,
            "topic": source.topic,
            "partition": row["raw_partition"],
            "offset": row["raw_offset"],
            "timestamp": row["appended_ms"],
            "contract": newest.contract,
            "stage": self.stage,
            "src": letter.src,
            "frm": letter.frm,
            "to": letter.to,
            "claim": int(letter.claim),
            "reconstructed": "true",
        }
        return DeadLetterRecord(
            source.dead_letters.full_name(self.topic_prefix),
            row["raw_partition"] % self.partitions,
            _key(row.get(newest.key_field)),
            value,
            [(f"headrace.dlq.{name}", str(v).encode()) for name, v in headers.items()],
        )


def _is_null(value: Any) -> bool:
    return value in (b"", NULL) or value != value  # NaN is not itself


def _plain(field: ContractField, value: Any) -> Any:
    """Return a column's value as JSON has it: times in epoch ms, decimals as text."""
    if field.type == "boolean":
        return bool(value)
    if field.type == "decimal":
        return str(Decimal(value).scaleb(-field.scale))
    return value.decode() if isinstance(value, bytes) else value


def _key(value: Any) -> bytes | None:
    return value if isinstance(value, bytes | None) else str(value).encode()
