"""Laws of the gate's verdict: pure, the same in any batch, and the oracle's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.content_hash import hashed_fields
from contracts.raw import RawBatch
from contracts.verdict import judge
from load.oracle import verdict as oracle
from load.oracle.contract_check import checked
from load.oracle.terms import read_terms
from load.this_project import PIPELINE
from tests.corpus.make_records import GOOD, LABEL
from tests.corpus.records import TIMESTAMP_MS, cases

CURRENCIES = {
    value: value == field.accepted
    for field in PIPELINE.by_topic["transactions"].versions[0].fields
    if field.name == "currency"
    for value in field.enum
}
TERMS = {
    topic: [read_terms(Path(version.file).read_text()) for version in source.versions]
    for topic, source in PIPELINE.by_topic.items()
}
Record = tuple[int, int, int, bytes | None, bytes | None, None]
CORPUS = [case for case in cases() if case.headers is None and len(case.value or b"") < 5000]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=70),
    st.sampled_from(["EUR", "USD", "eur", "pos", "FR", "fr", "é", "fraud", "\0", 10**400]),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)  # fmt: skip
MARKS = st.sampled_from(
    [
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\0",
        b"\xff",
        b" ",
        b"1",
        b"e",
        b"-",
        b"\\u0061",
        b'"x":1,',
    ]
)


@st.composite
def documents(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """Draw a good event with fields dropped, changed and added, and perhaps its bytes broken."""
    document = dict(good)
    for name in draw(st.lists(st.sampled_from(sorted(good)), max_size=2)):
        document.pop(name, None)
    names = st.sampled_from([*good, "channel", "country", "email", "ip", "x", "y"])
    document |= draw(st.dictionaries(names, ODD, max_size=2))
    document = dict(draw(st.permutations(list(document.items()))))
    data = json.dumps(document, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.integers(0, 3))
        data = data[:start] + draw(MARKS) + data[end:]
    return data


@st.composite
def records(draw: st.DrawFn, topic: str = "transactions") -> Record:
    """Draw a record near a good one, or one of the corpus."""
    if topic == "transactions" and draw(st.integers(0, 4)) == 0:
        case = draw(st.sampled_from([case for case in CORPUS if case.topic == topic]))
        return 0, 0, case.timestamp_ms, case.key, case.value, None
    good, key = (GOOD, b"c1") if topic == "transactions" else (LABEL, b"t1")
    key_drawn = draw(st.sampled_from([key, key, key, key, b"c2", b"", None, b"c1\0"]))
    return (
        0,
        0,
        draw(st.sampled_from([TIMESTAMP_MS, TIMESTAMP_MS - 10**6])),
        key_drawn,
        draw(documents(good)),
        None,
    )


def code(topic: str, record: Record) -> str:
    """Return the code of a record judged alone."""
    verdict = judge(PIPELINE.by_topic[topic], RawBatch.of([record]))
    return verdict.bad[0].code if verdict.bad else ""


@settings(max_examples=400, deadline=None)
@given(records())
def test_payments_are_judged_as_the_oracle_does(record: Record) -> None:
    due = oracle.code_of("transactions", *record[2:5], CURRENCIES)
    assert code("transactions", record) == due
    assert checked(TERMS["transactions"], *record[2:5])[0] == due


@settings(max_examples=200, deadline=None)
@given(records("labels"))
def test_labels_are_judged_as_the_oracle_does(record: Record) -> None:
    due = oracle.code_of("labels", *record[2:5], CURRENCIES)
    assert code("labels", record) == due
    assert checked(TERMS["labels"], *record[2:5])[0] == due


@settings(max_examples=100, deadline=None)
@given(st.lists(records(), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_neighbours_and_order_have_no_say(drawn: list[Record], dice: Any) -> None:
    numbered = [(0, offset, *record[2:]) for offset, record in enumerate(drawn)]
    shuffled = dice.sample(numbered, len(numbered))
    together = judge(PIPELINE.scored, RawBatch.of(shuffled))
    codes = {shuffled[refused.row][1]: (refused.code, refused.reason) for refused in together.bad}
    rows = {int(offset): number for number, offset in enumerate(together.good["raw_offset"])}
    for record in numbered:
        alone = judge(PIPELINE.scored, RawBatch.of([record]))
        if alone.bad:
            assert codes[record[1]] == (alone.bad[0].code, alone.bad[0].reason)
            continue
        row = rows[record[1]]
        for name, column in alone.good.items():
            assert column[0] == together.good[name][row], name


@settings(max_examples=200, deadline=None)
@given(records())
def test_accepted_columns_say_what_the_document_says(record: Record) -> None:
    verdict = judge(PIPELINE.scored, RawBatch.of([record]))
    if verdict.bad:
        return
    document = json.loads(record[4] or b"")
    for name in hashed_fields(PIPELINE.scored):
        held = verdict.good[name][0]
        written = document.get(name)
        assert held == (written if isinstance(written, int) else (written or "").encode()), name


@given(st.permutations(list(GOOD.items())), st.booleans(), st.sampled_from([None, "a@b"]))
def test_the_content_hash_is_of_content(
    items: list[tuple[str, Any]], spaced: bool, email: str | None
) -> None:
    document = dict(items) | {"x": 1} | ({"email": email} if email else {})
    value = json.dumps(document, indent=2 if spaced else None).encode()
    plain = json.dumps(GOOD).encode()
    batch = RawBatch.of([(0, i, TIMESTAMP_MS, b"c1", v, None) for i, v in enumerate((value, plain))])
    hashes = judge(PIPELINE.scored, batch).good["content_hash"]
    assert hashes[0] == hashes[1]


def test_the_content_hash_tells_every_field() -> None:
    changed = [GOOD, *[GOOD | {field: other} for field, other in (
        ("transaction_id", "t2"), ("event_time", GOOD["event_time"] - 1), ("terminal_id", "m2"),
        ("amount_minor", 1251), ("channel", "pos"), ("country", "FR"))]]  # fmt: skip
    batch = RawBatch.of(
        [
            (0, i, TIMESTAMP_MS, b"c1", json.dumps(document).encode(), None)
            for i, document in enumerate(changed)
        ]
    )
    assert len(np.unique(judge(PIPELINE.scored, batch).good["content_hash"])) == len(changed)
