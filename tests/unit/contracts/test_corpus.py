"""Every hostile record gets its documented code, alone and among others."""

from collections import defaultdict

import pytest

from contracts.raw import RawBatch
from contracts.verdict import judge
from load.this_project import PIPELINE
from tests.corpus import make_records
from tests.corpus.records import FILE, Case, cases

CASES = cases()


def verdict_of(case: Case) -> str:
    """Return the code of a record judged alone."""
    batch = RawBatch.of([(0, 0, case.timestamp_ms, case.key, case.value, case.headers)])
    verdict = judge(PIPELINE.by_topic[case.topic], batch)
    return verdict.bad[0].code if verdict.bad else ""


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_record_gets_its_documented_code(case: Case) -> None:
    assert verdict_of(case) == case.code


def test_the_file_is_what_the_maker_writes() -> None:
    assert FILE.read_text() == make_records.document()


@pytest.mark.parametrize("topic", ["transactions", "labels"])
def test_hostile_records_do_not_change_each_other(topic: str) -> None:
    chosen = [case for case in CASES if case.topic == topic]
    batch = RawBatch.of((0, i, c.timestamp_ms, c.key, c.value, c.headers) for i, c in enumerate(chosen))
    verdict = judge(PIPELINE.by_topic[topic], batch)
    codes = {refused.row: refused.code for refused in verdict.bad}
    assert [codes.get(row, "") for row in range(len(chosen))] == [case.code for case in chosen]
    assert verdict.good_index.tolist() == [row for row, case in enumerate(chosen) if not case.code]


def test_reasons_are_short_and_hold_no_values() -> None:
    by_topic: dict[str, list[Case]] = defaultdict(list)
    for case in CASES:
        by_topic[case.topic].append(case)
    for topic, chosen in by_topic.items():
        batch = RawBatch.of((0, i, c.timestamp_ms, c.key, c.value, c.headers) for i, c in enumerate(chosen))
        for refused in judge(PIPELINE.by_topic[topic], batch).bad:
            assert 0 < len(refused.reason.encode()) <= 512
            assert not any(value in refused.reason for value in ("XXX", "fax", "rumour", "DROP", "t1", "m1"))
