"""The gate's dead letters: the refused record as it came, and why and whence in headers.

They are a lane like any other: `src`, `frm`, `to` and `claim` say which input positions a letter covers,
so a copy made after a restart can be told from a second refusal. A letter keeps its record's partition
modulo the run's number of partitions: a topic that others write may have been given more.
"""

from contracts.frame import position
from contracts.header_check import RESERVED
from contracts.raw import Header, Headers, RawBatch, Unreadable
from contracts.strict_verdict import Rejection
from streams.gate.outgoing import Outgoing

PREFIX = "headrace.dlq."
STAGE = "gate"
# A broker takes records of 1 MiB, batch framing included; one that leaves no room for our headers travels
# as a pointer: no bytes, and `headrace dlq show` reads it at its origin.
COPIED_BYTES_MAX = 1_046_000


class LetterLane:
    """Dead letters of one input partition, for one incarnation.

    >>> lane = LetterLane("orders/0", base=0, partitions=4)
    >>> lane.span(7), lane.span(9)
    ((0, 8388608, True), (8388608, 10485760, False))
    """

    def __init__(self, src: str, base: int, partitions: int) -> None:
        self.src = src
        self.partitions = partitions
        self._next = base
        self._claim = True

    def span(self, offset: int) -> tuple[int, int, bool]:
        """Return the input positions (from, to) that a letter for `offset` covers, and whether it claims."""
        span = (self._next, position(offset + 1), self._claim)
        self._next, self._claim = span[1], False
        return span

    def letter(self, topic: str, batch: RawBatch, refused: Rejection) -> Outgoing:
        """Return the dead letter of a refused record."""
        row = refused.row
        key, value = batch.keys[row], batch.values[row]
        own = self._headers(topic, batch, refused)
        kept = _originals(batch.headers[row])
        if _bytes(key, value, kept + own) > COPIED_BYTES_MAX:
            key, value, kept = None, None, []
            own.append((PREFIX + "copied", b"no"))
        target = batch.partitions[row] % self.partitions
        return Outgoing(f"{topic}.dlq", target, key, value, kept + own)

    def _headers(self, topic: str, batch: RawBatch, refused: Rejection) -> list[Header]:
        row = refused.row
        frm, to, claim = self.span(batch.offsets[row])
        return _named(
            code=refused.code,
            reason=refused.reason,
            topic=topic,
            partition=batch.partitions[row],
            offset=batch.offsets[row],
            timestamp=batch.timestamps_ms[row],
            contract=refused.contract,
            contract_version=refused.contract_version,
            stage=STAGE,
            src=self.src,
            frm=frm,
            to=to,
            claim=int(claim),
        )


def pointer_letter(lane: LetterLane, topic: str, partition: int, span: tuple[int, int]) -> Outgoing:
    """Return the letter for records [first, behind) that cannot be unpacked: where they are, and no bytes."""
    first, behind = span
    frm, to, claim = lane.span(behind - 1)
    headers = _named(
        code="E_UNREADABLE",
        reason="the record batch cannot be unpacked",
        topic=topic,
        partition=partition,
        offset=first,
        offset_last=behind - 1,
        stage=STAGE,
        src=lane.src,
        frm=frm,
        to=to,
        claim=int(claim),
        copied="no",
    )
    return Outgoing(f"{topic}.dlq", partition % lane.partitions, None, None, headers)


def _named(**facts: object) -> list[Header]:
    return [(PREFIX + name, str(fact).encode()) for name, fact in facts.items()]


def _originals(headers: Headers) -> list[Header]:
    """Return the record's own headers: none when unreadable, and never one with our prefix."""
    if not headers or isinstance(headers, Unreadable):
        return []
    return [(name, value) for name, value in headers if not name.startswith(RESERVED)]


def _bytes(key: bytes | None, value: bytes | None, headers: list[Header]) -> int:
    parts = sum(len(name.encode()) + len(fact or b"") + 10 for name, fact in headers)
    return len(key or b"") + len(value or b"") + parts
