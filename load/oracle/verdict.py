"""The gate's verdict on card payments, spelled out by hand: slow, plainly right, no code shared.

A second witness beside `contract_check`, which reads the rules from the contract.
"""

from typing import Any

from load.oracle.document import read

ID = ("string", 1, 64)
TIME = ("time", 946_684_800_000, 4_102_444_800_000)
CHANNELS = {"pos", "ecommerce", "atm", "contactless", "moto", "transfer"}
REQUIRED: dict[str, list[tuple[str, Any]]] = {
    "transactions": [
        ("transaction_id", ID), ("event_time", TIME), ("customer_id", ID), ("terminal_id", ID),
        ("amount_minor", ("integer", 0, 2**40)), ("currency", ("enum", "currency")),
        ("channel", ("enum", CHANNELS)),
        ("country", ("country",)), ("device_id", ("string", 1, 128)), ("email", ("string", 3, 254)),
        ("ip", ("string", 2, 45)),
    ],
    "labels": [
        ("transaction_id", ID), ("customer_id", ID), ("terminal_id", ID),
        ("label", ("enum", {"fraud", "legitimate"})),
        ("event_time", TIME), ("label_time", TIME), ("source", ("enum", {"chargeback", "analyst", "rule"})),
    ],
}  # fmt: skip
OPTIONAL = {"channel", "country", "device_id", "email", "ip"}
KEY = {"transactions": "customer_id", "labels": "transaction_id"}


def code_of(
    topic: str, timestamp_ms: int, key: bytes | None, value: bytes | None, currencies: dict[str, bool]
) -> str:
    """Return the code of a record without headers; empty when it is accepted.

    Args:
        currencies: the known ones, and whether each is accepted.
    """
    if timestamp_ms < 946_684_800_000:
        return "E_TIME_RECORD"
    if key is None or not key or len(key) > 256:
        return "E_KEY_NULL" if key is None else "E_KEY_EMPTY" if not key else "E_KEY_SIZE"
    document = read(value)
    if isinstance(document, str):
        return document
    for field, rule in REQUIRED[topic]:
        if code := fault(field, rule, document, currencies):
            return code
    for field, rule in REQUIRED[topic]:
        if rule is TIME and document[field] > timestamp_ms + 300_000:
            return "E_TIME_FUTURE"
    if topic == "labels" and document["label_time"] < document["event_time"]:
        return "E_TIME_ORDER"
    return "" if document[KEY[topic]].encode() == key else "E_KEY_MISMATCH"


def fault(field: str, rule: tuple[Any, ...], document: dict[str, Any], currencies: dict[str, bool]) -> str:
    """Return the code of one field, empty when it is as it must be."""
    if field not in document:
        return "" if field in OPTIONAL else "E_CONTRACT_MISSING"
    value = document[field]
    if value is None:
        return "" if field in OPTIONAL else "E_CONTRACT_NULL"
    if rule[0] == "time":
        if type(value) is not int:
            return "E_TIME_FORMAT"
        return "" if rule[1] <= value <= rule[2] else "E_TIME_RANGE"
    if rule[0] == "integer":
        if type(value) is not int or value >= 2**64 or value < -(2**63):
            return "E_CONTRACT_TYPE"
        return "" if rule[1] <= value <= rule[2] else "E_CONTRACT_RANGE"
    return text_fault(value, rule, currencies)


def text_fault(value: Any, rule: tuple[Any, ...], currencies: dict[str, bool]) -> str:
    """Return the code of one string."""
    if type(value) is not str:
        return "E_CONTRACT_TYPE"
    if chr(0) in value:
        return "E_CONTRACT_STRING"
    if rule[1:] == ("currency",):
        accepted = currencies.get(value)
        return "E_CONTRACT_ENUM" if accepted is None else "" if accepted else "E_CONTRACT_CURRENCY"
    if rule[0] == "enum":
        return "" if value in rule[1] else "E_CONTRACT_ENUM"
    low, high = (2, 2) if rule[0] == "country" else rule[1:]
    if not low <= len(value.encode()) <= high:
        return "E_CONTRACT_LENGTH"
    if rule[0] == "country" and not all("A" <= letter <= "Z" for letter in value):
        return "E_CONTRACT_PATTERN"
    return ""
