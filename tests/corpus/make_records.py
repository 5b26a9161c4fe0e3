"""Write the corpus: `python -m tests.corpus.make_records`. A row is one way to break a contract or not."""

import base64
import json
import pickle
from collections.abc import Iterator
from typing import Any

from tests.corpus.records import FILE, TIMESTAMP_MS

GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "event_time": TIMESTAMP_MS - 1000,
    "customer_id": "c1",
    "terminal_id": "m1",
    "amount_minor": 1250,
    "currency": "EUR",
}
LABEL: dict[str, Any] = {
    "transaction_id": "t1",
    "customer_id": "c1",
    "terminal_id": "m1",
    "label": "fraud",
    "event_time": TIMESTAMP_MS - 9000,
    "label_time": TIMESTAMP_MS - 1000,
    "source": "chargeback",
}
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
Parts = list[list[Any]]
Row = dict[str, Any]


def text(document: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def without(field: str) -> bytes:
    """Return the good payment less a field."""
    return text({name: value for name, value in GOOD.items() if name != field})


def literal(field: str, written: bytes, document: dict[str, Any] = GOOD) -> bytes:
    """Return a document with a field's value written as given, JSON or not."""
    return text(document | {field: "@@"}).replace(b'"@@"', written)


def parts(*pieces: tuple[bytes, int]) -> Parts:
    """Return bytes as repeated pieces."""
    return [[base64.b64encode(piece).decode(), times] for piece, times in pieces]


def row(name: str, code: str, value: bytes | Parts | None, **other: Any) -> Row:
    """Return a row of the file; key, headers, topic and timestamp as a good payment's unless given."""
    key = other.get("key", b"c1")
    return {
        "name": name,
        "topic": other.get("topic", "transactions"),
        "code": code,
        "timestamp_ms": other.get("timestamp_ms", TIMESTAMP_MS),
        "key": key if key is None or isinstance(key, list) else parts((key, 1)),
        "value": value if value is None or isinstance(value, list) else parts((value, 1)),
        "headers": other.get("headers"),
    }


def rows() -> Iterator[Row]:
    """Yield every case."""
    yield from accepted()
    yield from bytes_rows()
    yield from number_rows()
    yield from size_rows()
    yield from field_rows()
    yield from key_rows()
    yield from time_rows()
    yield from header_rows()
    yield from label_rows()


def accepted() -> Iterator[Row]:
    """Yield what looks odd and is good."""
    yield row("good", "", text(GOOD))
    yield row("white space around", "", b" \n" + text(GOOD) + b"\r\n\t")
    yield row("amount of zero", "", text(GOOD | {"amount_minor": 0}))
    yield row("largest amount", "", text(GOOD | {"amount_minor": 2**40}))
    yield row("minus zero integer", "", literal("amount_minor", b"-0"))
    yield row("all optional fields", "", text(GOOD | {
        "channel": "pos", "country": "FR", "device_id": "d1", "email": "a@b", "ip": "::1"}))  # fmt: skip
    yield row("optional fields null", "", text(GOOD | dict.fromkeys(("channel", "country", "email", "ip"))))
    yield row("unknown field", "", text(GOOD | {"merchant_name": "café", "x": 1.5}))
    yield row("unknown nested field", "", text(GOOD | {"basket": {"items": [{"sku": "1"}, {"sku": "2"}]}}))
    yield row("unknown field underflows", "", literal("x", b"1e-400", GOOD | {"x": 0}))
    yield row("unknown field minus zero", "", literal("x", b"-0.0", GOOD | {"x": 0}))
    yield row("escaped key of a field", "", text(GOOD).replace(b'"currency"', b'"curr\\u0065ncy"'))
    yield row("escaped pair of surrogates", "", literal("terminal_id", b'"\\ud83d\\ude00"'))
    yield row("combining marks", "", text(GOOD | {"terminal_id": "e" + "\u0301" * 31}))
    yield row("text against logs and SQL", "", text(GOOD | {"terminal_id": "'; DROP--\r\n\x1b[2J\u202e"}))
    yield row("separators in an id", "", text(GOOD | {"terminal_id": "a:b|c"}))
    yield row("256 fields", "", text(GOOD | {f"x{i}": i for i in range(250)}))
    yield row("depth 64", "", literal("x", b"[" * 63 + b"]" * 63, GOOD | {"x": 0}))


def bytes_rows() -> Iterator[Row]:
    """Yield what is not JSON, or not quite."""
    good = text(GOOD)
    yield row("empty value", "E_DECODE_EMPTY", b"")
    yield row("null value", "E_DECODE_NULL", None)
    yield row("white space only", "E_DECODE_EMPTY", b" \t\r\n")
    for document in (b"null", b"1", b'"x"', b"[1]", b"true", b"-1.5"):
        yield row(f"not an object: {document.decode()}", "E_DECODE_NOT_OBJECT", document)
    for size in range(1, len(good)):
        yield row(f"first {size} bytes", "E_DECODE_JSON", good[:size])
    yield row("trailing bytes", "E_DECODE_JSON", good + b"x")
    yield row("two documents", "E_DECODE_JSON", good + good)
    yield row("two lines", "E_DECODE_JSON", good + b"\n" + good)
    yield row("trailing comma", "E_DECODE_JSON", good[:-1] + b",}")
    yield row("byte order mark", "E_DECODE_JSON", b"\xef\xbb\xbf" + good)
    yield row("UTF-16 with mark", "E_DECODE_UTF8", good.decode().encode("utf-16"))
    yield row("UTF-16 little endian", "E_DECODE_UTF8", good.decode().encode("utf-16-le"))
    yield row("UTF-16 big endian", "E_DECODE_UTF8", good.decode().encode("utf-16-be"))
    yield row("byte ff in a string", "E_DECODE_UTF8", literal("terminal_id", b'"m\xff"'))
    yield row("byte ff in an unknown field", "E_DECODE_UTF8", literal("x", b'"m\xff"', GOOD | {"x": 0}))
    yield row("overlong encoding", "E_DECODE_UTF8", literal("terminal_id", b'"\xc0\xaf"'))
    yield row("raw surrogate", "E_DECODE_UTF8", literal("terminal_id", b'"\xed\xa0\x80"'))
    yield row("escaped lone surrogate", "E_DECODE_UTF8", literal("terminal_id", b'"\\ud800"'))
    yield row("lone surrogate in a key", "E_DECODE_UTF8", good[:-1] + b',"\\udc00":1}')
    yield row("escaped NUL", "E_CONTRACT_STRING", literal("terminal_id", b'"m\\u0000"'))
    yield row(
        "escaped NUL in a personal field",
        "E_CONTRACT_STRING",
        literal("email", b'"a\\u0000b"', GOOD | {"email": 0}),
    )
    yield row("raw control character", "E_DECODE_JSON", literal("terminal_id", b'"m\x01"'))
    yield row("repeated key", "E_DECODE_DUPKEY", good[:-1] + b',"amount_minor":9999}')
    yield row("repeated key, same value", "E_DECODE_DUPKEY", good[:-1] + b',"currency":"EUR"}')
    yield row("repeated key by escape", "E_DECODE_DUPKEY", good[:-1] + b',"\\u0061mount_minor":9999}')
    yield row("repeated unknown key", "E_DECODE_DUPKEY", good[:-1] + b',"x":1,"x":2}')
    yield row("repeated key inside", "E_DECODE_DUPKEY", good[:-1] + b',"x":{"y":1,"y":2}}')
    yield row("gzip bytes", "E_DECODE_UTF8", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + good)
    yield row("schema registry framing", "E_DECODE_JSON", b"\0\0\0\0\x07" + good)
    yield row("pickle", "E_DECODE_UTF8", pickle.dumps(GOOD, protocol=4))


def number_rows() -> Iterator[Row]:
    """Yield numbers that are not the contract's."""
    for name in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1" * 400):
        shown = name.decode()[:10]
        yield row(f"amount {shown}", "E_DECODE_NONFINITE", literal("amount_minor", name))
        yield row(f"unknown field {shown}", "E_DECODE_NONFINITE", literal("x", name, GOOD | {"x": 0}))
    yield row("amount 2^63", "E_CONTRACT_RANGE", text(GOOD | {"amount_minor": 2**63}))
    yield row("amount 2^64", "E_CONTRACT_TYPE", text(GOOD | {"amount_minor": 2**64}))
    yield row("amount -2^63-1", "E_CONTRACT_TYPE", text(GOOD | {"amount_minor": -(2**63) - 1}))
    yield row("amount 2^40+1", "E_CONTRACT_RANGE", text(GOOD | {"amount_minor": 2**40 + 1}))
    yield row("amount negative", "E_CONTRACT_RANGE", text(GOOD | {"amount_minor": -1}))
    for name in (b"true", b"false", b'"1250"', b"12.5", b"1.0", b"1e3", b"-0.0", b"[1]", b"{}"):
        yield row(f"amount {name.decode()}", "E_CONTRACT_TYPE", literal("amount_minor", name))


def size_rows() -> Iterator[Row]:
    """Yield what is too deep, wide or long."""
    head = text(GOOD)[:-1]
    yield row("depth 65", "E_DECODE_DEPTH", literal("x", b"[" * 64 + b"]" * 64, GOOD | {"x": 0}))
    yield row(
        "depth 100,000",
        "E_DECODE_DEPTH",
        parts((head + b',"x":', 1), (b"[", 99_999), (b"]", 99_999), (b"}", 1)),
    )
    yield row("depth never closed", "E_DECODE_DEPTH", parts((b"[", 100_000)))
    yield row("array of a megabyte", "E_SIZE_FIELDS", parts((b"[", 1), (b"[],", 330_000), (b"[]]", 1)))
    yield row("257 fields", "E_SIZE_FIELDS", text(GOOD | {f"x{i}": i for i in range(251)}))
    yield row("100,000 fields", "E_SIZE_FIELDS", parts((head, 1), (b',"a":1', 100_000), (b"}", 1)))
    yield row("field of 900 kB", "E_SIZE_FIELD", parts((head + b',"x":"', 1), (b"y", 900_000), (b'"}', 1)))
    yield row("field of 4,097 bytes", "E_SIZE_FIELD", text(GOOD | {"x": "y" * 4097}))
    yield row("field of 4,096 bytes", "", text(GOOD | {"x": "y" * 4096}))
    yield row("65,537 bytes", "E_SIZE_MESSAGE", parts((text(GOOD), 1), (b" ", 65_537 - len(text(GOOD)))))
    yield row("65,536 bytes", "", parts((text(GOOD), 1), (b" ", 65_536 - len(text(GOOD)))))


def field_rows() -> Iterator[Row]:
    """Yield fields that are missing, null, of another type or outside their bounds."""
    for field in GOOD:
        yield row(f"{field} missing", "E_CONTRACT_MISSING", without(field))
        yield row(f"{field} null", "E_CONTRACT_NULL", text(GOOD | {field: None}))
    for field in ("transaction_id", "customer_id", "terminal_id", "currency"):
        yield row(f"{field} a number", "E_CONTRACT_TYPE", text(GOOD | {field: 5}))
    for field in ("transaction_id", "customer_id", "terminal_id"):
        yield row(f"{field} empty", "E_CONTRACT_LENGTH", text(GOOD | {field: ""}))
        yield row(f"{field} of 65 bytes", "E_CONTRACT_LENGTH", text(GOOD | {field: "x" * 65}))
    yield row(
        "id of 64 letters and 65 bytes", "E_CONTRACT_LENGTH", text(GOOD | {"terminal_id": "é" + "x" * 63})
    )
    yield row("id of 64 bytes", "", text(GOOD | {"terminal_id": "é" + "x" * 62}))
    yield row("renamed field", "E_CONTRACT_MISSING", text(GOOD).replace(b"amount_minor", b"amount_cents"))
    yield row("currency unknown", "E_CONTRACT_ENUM", text(GOOD | {"currency": "XXX"}))
    yield row("currency of another land", "E_CONTRACT_CURRENCY", text(GOOD | {"currency": "IDR"}))
    yield row("currency in small letters", "E_CONTRACT_ENUM", text(GOOD | {"currency": "eur"}))
    yield row("channel unknown", "E_CONTRACT_ENUM", text(GOOD | {"channel": "fax"}))
    yield row("country in small letters", "E_CONTRACT_PATTERN", text(GOOD | {"country": "fr"}))
    yield row("country of digits", "E_CONTRACT_PATTERN", text(GOOD | {"country": "12"}))
    yield row("country of two bytes, one letter", "E_CONTRACT_PATTERN", text(GOOD | {"country": "É"}))
    yield row("country of three letters", "E_CONTRACT_LENGTH", text(GOOD | {"country": "FRA"}))
    yield row("email a number", "E_CONTRACT_TYPE", text(GOOD | {"email": 1}))
    yield row("email too long", "E_CONTRACT_LENGTH", text(GOOD | {"email": "a" * 255}))


def key_rows() -> Iterator[Row]:
    """Yield keys that do not name the customer."""
    good = text(GOOD)
    yield row("null key", "E_KEY_NULL", good, key=None)
    yield row("empty key", "E_KEY_EMPTY", good, key=b"")
    yield row("other key", "E_KEY_MISMATCH", good, key=b"c2")
    yield row("key with a NUL behind", "E_KEY_MISMATCH", good, key=b"c1\0")
    yield row("key in quotes", "E_KEY_MISMATCH", good, key=b'"c1"')
    yield row("key not UTF-8", "E_KEY_MISMATCH", good, key=b"\xff\xfe")
    yield row("key of 257 bytes", "E_KEY_SIZE", good, key=b"c" * 257)
    yield row("key of a megabyte", "E_KEY_SIZE", good, key=parts((b"c", 1_000_000)))
    composed, combining = {"customer_id": "\u00e9"}, "e\u0301".encode()
    yield row("key in another normal form", "E_KEY_MISMATCH", text(GOOD | composed), key=combining)
    yield row("null key, broken value", "E_KEY_NULL", b"{", key=None)


def time_rows() -> Iterator[Row]:
    """Yield times that are not milliseconds of this age."""
    at = TIMESTAMP_MS
    yield row("two minutes ahead", "", text(GOOD | {"event_time": at + 120_000}))
    yield row("five minutes ahead", "", text(GOOD | {"event_time": at + 300_000}))
    yield row("a moment more ahead", "E_TIME_FUTURE", text(GOOD | {"event_time": at + 300_001}))
    yield row("ten years ahead", "E_TIME_FUTURE", text(GOOD | {"event_time": at + 315_360_000_000}))
    for time in (-1, 0, 1, -315_619_200_000, 946_684_799_999):
        yield row(f"time {time}", "E_TIME_RANGE", text(GOOD | {"event_time": time}))
    yield row("time in seconds", "E_TIME_RANGE", text(GOOD | {"event_time": at // 1000}))
    yield row("time in microseconds", "E_TIME_RANGE", text(GOOD | {"event_time": at * 1000}))
    yield row("time in nanoseconds", "E_TIME_RANGE", text(GOOD | {"event_time": at * 10**6}))
    for written in ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20", "1700000000000", ""):
        yield row(f"time {written!r}", "E_TIME_FORMAT", text(GOOD | {"event_time": written}))
    yield row("time a float", "E_TIME_FORMAT", literal("event_time", b"1.7e12"))
    yield row("time true", "E_TIME_FORMAT", literal("event_time", b"true"))
    yield row("time NaN", "E_DECODE_NONFINITE", literal("event_time", b"NaN"))
    yield row("record before any contract", "E_TIME_RECORD", text(GOOD), timestamp_ms=-5)
    yield row("oldest event", "", text(GOOD | {"event_time": 946_684_800_000}))


def header_rows() -> Iterator[Row]:
    """Yield headers, hostile and merely odd."""
    good = text(GOOD)

    def headers(*pairs: tuple[str, bytes | None]) -> list[Any]:
        return [[name, None if value is None else parts((value, 1))] for name, value in pairs]

    yield row("header name not UTF-8", "E_HEADER_NAME", good, headers="unreadable")
    yield row("trace", "", good, headers=headers(("traceparent", TRACE)))
    yield row("malformed trace", "", good, headers=headers(("traceparent", b"00-zz")))
    yield row("two traces", "", good, headers=headers(("traceparent", TRACE), ("traceparent", TRACE)))
    yield row("header value not UTF-8", "", good, headers=headers(("x", b"\xff"), ("", None), ("x", b"")))
    yield row(
        "forged headers", "", good, headers=headers(("headrace.dlq.code", b"x"), ("headrace.lane", b""))
    )
    yield row("10,000 headers", "E_HEADER_SIZE", good, headers=headers(*[("", b"")] * 10_000))
    yield row("headers of 900 kB", "E_HEADER_SIZE", good, headers=[["x", parts((b"y", 900_000))]])
    yield row("headers of 16,384 bytes", "", good, headers=[["x", parts((b"y", 16_383))]])
    yield row("headers of 16,385 bytes", "E_HEADER_SIZE", good, headers=[["x", parts((b"y", 16_384))]])


def label_rows() -> Iterator[Row]:
    """Yield labels; what all topics share is tried on payments."""
    label = {"topic": "labels", "key": b"t1"}
    yield row("label", "", text(LABEL), **label)
    yield row("label keyed by customer", "E_KEY_MISMATCH", text(LABEL), topic="labels", key=b"c1")
    yield row("label unknown", "E_CONTRACT_ENUM", text(LABEL | {"label": "maybe"}), **label)
    yield row("label source unknown", "E_CONTRACT_ENUM", text(LABEL | {"source": "rumour"}), **label)
    yield row(
        "label of tomorrow", "E_TIME_FUTURE", text(LABEL | {"label_time": TIMESTAMP_MS + 86_400_000}), **label
    )
    yield row(
        "label older than its payment", "E_TIME_ORDER", text(LABEL | {"label_time": LABEL["event_time"] - 1}),
        **label,
    )  # fmt: skip
    yield row("label of its payment's moment", "", text(LABEL | {"label_time": LABEL["event_time"]}), **label)
    yield row("label time null", "E_CONTRACT_NULL", text(LABEL | {"label_time": None}), **label)
    yield row("payment among labels", "E_CONTRACT_MISSING", text(GOOD), **label)


def document() -> str:
    """Return the file's text."""
    return "[\n" + ",\n".join(json.dumps(case) for case in rows()) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(document())
