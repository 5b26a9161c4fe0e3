"""Dead letters of a stage: the row as canonical JSON, since the producer's bytes stayed at the gate.

The headers are the gate's, so that `headrace dlq` reads both alike; readers fold copies by origin.
"""

import json
from typing import Any, NamedTuple

from streams.stage.core import DeadLetter

_NAMES = ("transaction_id", "event_time", "customer_id", "terminal_id", "amount_minor", "currency")
_OPTIONAL = ("channel", "country")


class DeadLetterRecord(NamedTuple):
    """A plain Kafka record."""

    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class DeadLetterTopic(NamedTuple):
    """Where the refused rows of a stage go, and whose contract they were under."""

    topic: str
    origin: str
    stage: str

    def record(self, letter: DeadLetter) -> DeadLetterRecord:
        """Return the record of a refused row.

        >>> row = {"transaction_id": b"t1", "customer_id": b"c1", "raw_partition": 2, "raw_offset": 7}
        >>> row |= {"appended_ms": 5, "pos": 8}
        >>> letter = DeadLetter("E_DUP_CONFLICT", "why", row, "events.customer/2", 0, 9, True)
        >>> DeadLetterTopic("transactions.dlq", "transactions", "customer").record(letter).value
        b'{"customer_id":"c1","transaction_id":"t1"}'
        """
        row = letter.row
        kept = {name: _plain(row[name]) for name in _NAMES if name in row}
        kept |= {name: _plain(row[name]) for name in _OPTIONAL if row.get(name)}
        value = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        headers = {
            "code": letter.code,
            "reason": letter.reason,
            "topic": self.origin,
            "partition": row["raw_partition"],
            "offset": row["raw_offset"],
            "timestamp": row["appended_ms"],
            "contract": "transactions",
            "stage": self.stage,
            "src": letter.src,
            "frm": letter.frm,
            "to": letter.to,
            "claim": int(letter.claim),
            "reconstructed": "true",
        }
        return DeadLetterRecord(
            row["raw_partition"],
            row["customer_id"],
            value,
            [(f"headrace.dlq.{name}", str(v).encode()) for name, v in headers.items()],
        )


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
