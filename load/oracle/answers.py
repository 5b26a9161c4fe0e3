"""What the HTTP API said of keys at rest, held against the definition of every feature at that moment."""

from collections.abc import Mapping
from typing import Any

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.dump import Dump
from load.oracle.findings import Findings
from load.oracle.sources import ProjectOracle, hashed
from load.oracle.stages import Stages
from load.oracle.windows import KeyOracle

NEWEST_MS = 2**62  # the API hashes by the key in force now


def check_answers(dump: Dump, project: ProjectOracle, known: Stages, found: Findings) -> None:
    """Compare each answer with the rows that the stages took in."""
    keys = {stage.link.name: stage.keys for stage in known.made}
    links = {link.name: link for link in project.links}
    entities = {name: declarations.entity(dump.declared, name) for name in keys}
    for answer in dump.answers:
        entity = entities[answer.entity]
        names = declarations.columns(entity)
        key = links[answer.entity].key(_as_stored(project, answer.fields))
        oracle = keys[answer.entity].get(key) or KeyOracle(entity)
        expected = [None if value != value else value for value in oracle.at(answer.now_ms)]
        values: list[Any] = [answer.values.get(name) for name in names]
        about = f"/features of {answer.entity} {answer.fields} at {answer.now_ms}"
        if not same(values, expected):
            found.add("api_mismatch", f"{about}: {where(values, expected, names)}")
        if answer.degraded:
            found.add("api_mismatch", f"{about}: degraded at rest: {answer.degraded}")


def _as_stored(project: ProjectOracle, fields: Mapping[str, str | int]) -> dict[str, bytes | int]:
    """Return asked fields as rows hold them: personal ones as their hash."""
    texts = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
    for name in project.scored.hashed & texts.keys():
        texts[name] = hashed(str(fields[name]).encode(), NEWEST_MS, project.secrets)
    return texts
