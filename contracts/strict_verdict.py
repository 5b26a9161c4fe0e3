"""One record judged strictly and slowly: the definition that the fast path may only agree with.

Checks come in this order, and the first that fails gives the code: contract in force, headers, key,
document, fields in the contract's order, times against the record's timestamp, key against its field.
"""

from typing import NamedTuple

from msgspec import Struct

from contracts.document import Refused, read_document
from contracts.errors import ConfigError
from contracts.field_check import check_future, event_of
from contracts.header_check import read_headers
from contracts.raw import Headers
from contracts.terms import Limits, Terms

REASON_BYTES_MAX = 512


class Rejection(NamedTuple):
    """Record number `row` of the batch is refused; `reason` names fields and limits, never values."""

    row: int
    code: str
    reason: str
    contract: str
    contract_version: str


class Accepted(NamedTuple):
    """The event that a record holds, and how many fields it carries that the contract does not know."""

    event: Struct
    extra_fields: int


class Given(NamedTuple):
    """What one record brings to its trial."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def limits_of(terms: Terms) -> Limits:
    """Return the limits of an input topic's contract.

    Raises:
        ConfigError: E_CONFIG_CONTRACT, the contract states none and so cannot judge records.
    """
    if terms.limits is None:
        raise ConfigError(
            "E_CONFIG_CONTRACT", "no record limits", terms.label, "state them in its customProperties"
        )
    return terms.limits


def judge_strictly(given: Given, terms: Terms | None, oldest: Terms, index: int) -> Accepted | Rejection:
    """Return the record's event or its rejection.

    Args:
        given: the record.
        terms: the contract in force at its timestamp, None when there was none yet.
        oldest: the first contract, named by the rejection where none was in force.
        index: the record's number in its batch, for the rejection.
    """
    try:
        if terms is None:
            raise Refused("E_TIME_RECORD", "no contract was in force at the record's timestamp")
        return _accept(given, terms, limits_of(terms))
    except Refused as refused:
        named = terms or oldest
        reason = refused.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        return Rejection(index, refused.code, reason, named.contract, named.version)


def _accept(given: Given, terms: Terms, limits: Limits) -> Accepted:
    read_headers(given.headers, limits)
    key = _key(given.key, limits)
    document = read_document(given.value, limits)
    event = event_of(document, terms)
    check_future(event, terms, given.timestamp_ms, limits.skew_ms)
    if getattr(event, terms.key_field).encode() != key:
        raise Refused("E_KEY_MISMATCH", f"the key is not the bytes of {terms.key_field}")
    return Accepted(event, len(document) - sum(field.name in document for field in terms.fields))


def _key(key: bytes | None, limits: Limits) -> bytes:
    if key is None:
        raise Refused("E_KEY_NULL", "the record has no key")
    if not key:
        raise Refused("E_KEY_EMPTY", "the key is empty")
    if len(key) > limits.key_bytes_max:
        raise Refused("E_KEY_SIZE", f"the key is longer than {limits.key_bytes_max} bytes")
    return key
