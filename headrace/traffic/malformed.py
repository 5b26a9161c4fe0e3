"""Records that break the contract, each with the code that must be on it in the dead letters.

Each is made from the good record beside it, so the same workload and seed give the same malformed bytes.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.traffic.input_files import Record, Records

FAR_FUTURE_MS = 4_102_444_800_000  # the year 2100
Maker = Callable[[dict[str, Any]], Record]
Expected = tuple[bytes | None, bytes | None, str]  # key, value, code


def _changed(**fields: Any) -> Maker:
    return lambda row: (_key(row), _json({**row, **fields}))


def _bytes(change: Callable[[bytes], bytes | None]) -> Maker:
    return lambda row: (_key(row), change(_json(row)))


def _amount(literal: bytes) -> Maker:
    """Write the amount as a literal that no JSON library would write."""
    return lambda row: (
        _key(row),
        _json({**row, "amount_minor": 0})[:-1] + b',"amount_minor":' + literal + b"}",
    )


def _replaced(field: str, literal: bytes) -> Maker:
    def make(row: dict[str, Any]) -> Record:
        rest = {name: value for name, value in row.items() if name != field}
        return _key(row), _json(rest)[:-1] + b',"' + field.encode() + b'":' + literal + b"}"

    return make


def _without(field: str) -> Maker:
    return lambda row: (_key(row), _json({name: value for name, value in row.items() if name != field}))


def _keyed(key: bytes | None) -> Maker:
    return lambda row: (key, _json(row))


def _key(row: dict[str, Any]) -> bytes:
    return str(row["customer_id"]).encode()


def _json(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()


MALFORMED: tuple[tuple[str, Maker], ...] = (
    ("E_DECODE_EMPTY", _bytes(lambda _: b"")),
    ("E_DECODE_NULL", _bytes(lambda _: None)),
    ("E_DECODE_EMPTY", _bytes(lambda _: b"  \n ")),
    ("E_DECODE_NOT_OBJECT", _bytes(lambda value: b"[" + value + b"]")),
    ("E_DECODE_JSON", _bytes(lambda value: value[: len(value) // 2])),
    ("E_DECODE_JSON", _bytes(lambda value: value + b"x")),
    ("E_DECODE_JSON", _bytes(lambda value: value + value)),
    ("E_DECODE_JSON", _bytes(lambda value: b"\x00\x00\x00\x00\x07" + value[:40])),
    ("E_DECODE_UTF8", _bytes(lambda value: value.replace(b'"customer_id":"', b'"customer_id":"\xff'))),
    ("E_DECODE_NONFINITE", _replaced("amount_minor", b"NaN")),
    ("E_DECODE_NONFINITE", _replaced("amount_minor", b"1e400")),
    ("E_DECODE_DUPKEY", _amount(b"1")),
    ("E_CONTRACT_RANGE", _changed(amount_minor=2**63)),
    ("E_CONTRACT_RANGE", _changed(amount_minor=-5)),
    ("E_CONTRACT_TYPE", _changed(amount_minor="12.50")),
    ("E_CONTRACT_TYPE", _changed(amount_minor=True)),
    ("E_CONTRACT_TYPE", _changed(amount_minor=1.5)),
    ("E_CONTRACT_NULL", _changed(terminal_id=None)),
    ("E_CONTRACT_MISSING", _without("terminal_id")),
    ("E_CONTRACT_MISSING", _without("event_time")),
    ("E_KEY_NULL", _keyed(None)),
    ("E_KEY_MISMATCH", _keyed(b"somebody-else")),
    ("E_TIME_FUTURE", _changed(event_time=FAR_FUTURE_MS)),
    ("E_TIME_RANGE", _changed(event_time=0)),
)


def malformed_record(row: dict[str, Any], number: int) -> tuple[Record, str]:
    """Return malformed record `number` made from a good row, and its expected code.

    >>> row = {"transaction_id": "t1", "customer_id": "c1", "terminal_id": "m1", "amount_minor": 5}
    >>> malformed_record(row, 0)
    ((b'c1', b''), 'E_DECODE_EMPTY')
    """
    code, make = MALFORMED[number % len(MALFORMED)]
    return make({**row, "transaction_id": f"malformed-{number:08d}"}), code


class MalformedMix:
    """Records with malformed ones in between: `ratio` of all that is sent.

    The moments and ids are those of the good records; `expected` counts what has been handed out.
    """

    def __init__(self, records: Records, ratio: float, seed: int) -> None:
        self._records = records
        self.moment_ms: NDArray[np.int64] = records.moment_ms
        odds = ratio / (1.0 - ratio)
        self._before = np.random.default_rng([seed, 99]).random(len(self.moment_ms)) < odds
        self._number = np.cumsum(self._before) - 1
        self.expected: Counter[Expected] = Counter()

    def slice(self, start: int, stop: int) -> list[Record]:
        """Return the good records [start, stop), each malformed one before the record it was made from."""
        mixed: list[Record] = []
        for index, record in enumerate(self._records.slice(start, stop), start):
            if self._before[index] and record[1] is not None:
                broken, code = malformed_record(json.loads(record[1]), int(self._number[index]))
                self.expected[(*broken, code)] += 1
                mixed.append(broken)
            mixed.append(record)
        return mixed

    def ids(self) -> list[str]:
        """Return the good records' ids."""
        return self._records.ids()
