"""The record that is kept of a frame that a reader refused: a dead letter, bytes unchanged.

It names the inter-stage record as its origin, so that `headrace dlq` lists it beside the refused events; it
is no event, and is never published again.
"""

from contracts.frame_check import Refused

PREFIX = "headrace.dlq."
COPIED_BYTES_MAX = 1_046_000  # as of the gate's letters: what leaves room for the headers in a record

Header = tuple[str, bytes]


def refused_letter(refused: Refused, reader: str) -> tuple[bytes, bytes | None, list[Header]]:
    """Return key, value and headers of the dead letter of a refused record.

    >>> refused = Refused("events.account", 0, 7, "E_FRAME_LANE", "no lane", b"HRF1")
    >>> key, value, headers = refused_letter(refused, "account")
    >>> key, value, headers[0]
    (b'events.account/0/7', b'HRF1', ('headrace.dlq.code', b'E_FRAME_LANE'))
    """
    copied = len(refused.value) <= COPIED_BYTES_MAX
    facts: dict[str, object] = {
        "code": refused.code, "reason": refused.reason, "topic": refused.topic,
        "partition": refused.partition, "offset": refused.offset, "stage": reader,
    }  # fmt: skip
    if not copied:
        facts["copied"] = "no"
    key = f"{refused.topic}/{refused.partition}/{refused.offset}".encode()
    headers = [(PREFIX + name, str(fact).encode()) for name, fact in facts.items()]
    return key, refused.value if copied else None, headers
