"""What the HTTP API said of keys at rest, held against the definition of every feature at that moment."""

from collections.abc import Mapping
from typing import Any

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.dump import Dump
from load.oracle.findings import Findings
from load.oracle.windows import KeyOracle


def check_answers(dump: Dump, keys: Mapping[str, Mapping[bytes, KeyOracle]], found: Findings) -> None:
    """Compare each answer with the rows that the stages took in; `keys` by entity, then by key."""
    entities = {name: declarations.entity(dump.declared, name) for name in keys}
    for answer in dump.answers:
        entity = entities[answer.entity]
        names = declarations.columns(entity)
        oracle = keys[answer.entity].get(answer.key.encode()) or KeyOracle(entity)
        expected = [None if value != value else value for value in oracle.at(answer.now_ms)]
        values: list[Any] = [answer.values.get(name) for name in names]
        about = f"/features of {answer.entity} {answer.key} at {answer.now_ms}"
        if not same(values, expected):
            found.add("api_mismatch", f"{about}: {where(values, expected, names)}")
        if answer.degraded:
            found.add("api_mismatch", f"{about}: degraded at rest: {answer.degraded}")
