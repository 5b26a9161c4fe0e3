"""One record judged strictly and slowly: the definition that the fast path may only agree with.

Checks come in this order, and the first that fails gives the code: contract in force, headers, key,
document, fields in the contract's order, times against the record's timestamp and each other, key against its
field. Where the contract names no key field, the key is not looked at.
"""

from typing import NamedTuple

from contracts.contract_version import ContractVersion, Limits
from contracts.document import Refused, read_document
from contracts.field_check import Values, check_future, check_order, unknown_fields, values_of
from contracts.header_check import read_headers
from contracts.raw import Headers

REASON_BYTES_MAX = 512


class Rejection(NamedTuple):
    """Record number `row` of the batch is refused; `reason` names fields and limits, never values."""

    row: int
    code: str
    reason: str
    contract: str
    contract_version: str


class Accepted(NamedTuple):
    """What a record says, and how many fields it carries that the contract does not know."""

    values: Values
    extra_fields: int


class Given(NamedTuple):
    """What one record brings to its trial."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def judge_strictly(
    given: Given, version: ContractVersion | None, oldest: ContractVersion, index: int
) -> Accepted | Rejection:
    """Return what the record says, or its rejection.

    Args:
        given: the record.
        version: the contract in force at its timestamp, None when there was none yet.
        oldest: the first contract, named by the rejection where none was in force.
        index: the record's number in its batch, for the rejection.
    """
    try:
        if version is None:
            raise Refused("E_TIME_RECORD", "no contract was in force at the record's timestamp")
        return _accept(given, version)
    except Refused as refused:
        named = version or oldest
        reason = refused.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
        return Rejection(index, refused.code, reason, named.contract, named.version)


def _accept(given: Given, version: ContractVersion) -> Accepted:
    limits = version.limits
    read_headers(given.headers, limits)
    key = _key(given.key, limits) if version.key_field else b""
    document = read_document(given.value, limits)
    values = values_of(document, version)
    check_future(values, version, given.timestamp_ms, limits.skew_ms)
    check_order(values, version)
    named = values.get(version.key_field)
    if named is not None and str(named).encode() != key:
        raise Refused("E_KEY_MISMATCH", f"the key is not the bytes of {version.key_field}")
    return Accepted(values, unknown_fields(document, version))


def _key(key: bytes | None, limits: Limits) -> bytes:
    if key is None:
        raise Refused("E_KEY_NULL", "the record has no key")
    if not key:
        raise Refused("E_KEY_EMPTY", "the key is empty")
    if len(key) > limits.key_bytes_max:
        raise Refused("E_KEY_SIZE", f"the key is longer than {limits.key_bytes_max} bytes")
    return key
