"""The oracle's reading of contracts and records is the service's, though they share no code."""

from pathlib import Path

import pytest

from contracts.contract_file import contract_of
from contracts.hashed_fields import HashKey, HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.running import RunningProject, project_at
from load.chaos.collect import declared
from load.chaos.plan import ChaosPlan
from load.chaos.project_input import make_project_input
from load.oracle.dump import Record
from load.oracle.sources import ProjectOracle
from load.oracle.terms import read_terms

HOME = Path(__file__).parents[3]
LOGINS = HOME / "examples" / "logins"
SECRET = b"0123456789abcdef0123"
AT_MS = 1_800_000_000_000
RECORDS = 800
KINDS = {"text": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "other"}


@pytest.mark.parametrize(
    "path", sorted(HOME.glob("*/contracts/*.yaml")) + sorted(LOGINS.glob("contracts/*.yaml"))
)
def test_a_contract_says_the_same_to_both(path: Path) -> None:
    mine, theirs = read_terms(path.read_text()), contract_of(path)
    assert (mine.topic, mine.contract, mine.version, mine.from_ms, mine.ids) == (
        theirs.topic, theirs.contract, theirs.version, theirs.effective_from_ms, theirs.id_fields
    )  # fmt: skip
    for field, other in zip(mine.fields, theirs.fields, strict=True):
        assert (field.name, field.path, KINDS.get(field.kind, field.kind)) == (
            other.name,
            other.path,
            other.type,
        )
        assert (field.required, field.enum, field.zone) == (other.required, other.enum, other.zone)
        assert field.kind in ("object", "float") or field.bounds == other.bounds


@pytest.fixture(scope="module")
def project() -> RunningProject:
    return project_at(str(LOGINS))


@pytest.fixture(scope="module")
def oracle(project: RunningProject) -> ProjectOracle:
    known = declared(project, 1, 3)
    known.secrets = [(0, SECRET.hex())]
    return ProjectOracle(known)


@pytest.fixture(scope="module")
def sent(project: RunningProject) -> dict[str, list[Record]]:
    """Return some records of each topic."""
    plan = ChaosPlan(seed=5, minutes=1, rate=200.0, malformed_ratio=0.6, conflict_ratio=0.1)
    found: dict[str, list[Record]] = {topic: [] for topic in project.pipeline.by_topic}
    for one in make_project_input(plan, project).records:
        mine = found[one.topic]
        if len(mine) < RECORDS:
            mine.append(Record(0, len(mine), AT_MS, *one.record))
    return found


@pytest.mark.parametrize("number", range(3))
def test_good_and_broken_records_are_judged_and_read_alike(
    project: RunningProject, oracle: ProjectOracle, sent: dict[str, list[Record]], number: int
) -> None:
    source, mine = project.pipeline.sources[number], oracle.sources[number]
    records = sent[source.topic]
    keys = HashKeys((HashKey(version=1, from_ms=0, secret=SECRET),))
    batch = RawBatch.of((r.partition, r.offset, r.timestamp_ms, r.key, r.value, None) for r in records)
    verdict = judge(source, batch, keys)
    codes = {bad.row: bad.code for bad in verdict.bad}
    judged = [mine.judged(record, oracle.secrets) for record in records]
    assert [code for code, _ in judged] == [codes.get(row, "") for row in range(len(records))]
    good = [row for code, row in judged if not code]
    for name, column in verdict.good.items():
        if name in mine.columns - {"traceparent"}:
            assert [row[name] for row in good] == column.tolist(), name
    if number == 0:
        assert len(set(codes.values())) > 12
        assert len(records) == RECORDS


def test_a_hash_and_a_missing_key_that_are_wrong_would_be_seen(
    oracle: ProjectOracle, sent: dict[str, list[Record]]
) -> None:
    mine = oracle.scored
    good, other = (
        [row for code, row in (mine.judged(one, secrets) for one in sent[mine.topic]) if not code]
        for secrets in (oracle.secrets, [(0, b"another secret 12")])
    )
    assert all(a["ip"] != b["ip"] for a, b in zip(good, other, strict=True))
    lacking = [row for row in good if not oracle.links[1].key(row)]
    assert lacking
    assert all(oracle.keys(row)["device"] is None for row in lacking)
    assert len({oracle.target(mine, link, row) for link in oracle.links for row in good}) == 3
