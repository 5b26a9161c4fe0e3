"""The gate takes the example's records as its generator writes them, and refuses what breaks a contract."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.document import Refused
from contracts.errors import ConfigError
from contracts.hashed_fields import HashKey, HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge, refused_of
from contracts.written_values import time_of
from features.project.load import run_file
from features.project.running import running_project

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "logins"
PIPELINE = running_project(FOLDER).pipeline
KEYS = HashKeys(
    (
        HashKey(version=1, from_ms=0, secret=b"first secret, 24 bytes.."),
        HashKey(version=2, from_ms=1_800_000_000_000, secret=b"second secret, 24 bytes."),
    )
)
LATE_MS = 1_790_000_000_000
Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> dict[str, list[Record]]:
    module = run_file(FOLDER / "generate.py")
    made: dict[str, list[Record]] = module.generate(module.Plan(accounts=100, days=5))
    return made


def batch(rows: list[Record], at_ms: int = LATE_MS) -> RawBatch:
    return RawBatch.of((0, at, at_ms, None, json.dumps(row).encode(), None) for at, row in enumerate(rows))


def test_every_record_is_accepted_and_its_columns_say_what_it_says(records: dict[str, list[Record]]) -> None:
    for topic, rows in records.items():
        verdict = judge(PIPELINE.by_topic[topic], batch(rows), KEYS)
        assert verdict.bad == []
        assert verdict.extra_fields == 0
        assert verdict.good["at"].tolist() == [time_of(row["at"], "") for row in rows]
    logins = judge(PIPELINE.scored, batch(records["logins"]), KEYS).good
    assert logins["account_id"].tolist() == [row["account"]["id"].encode() for row in records["logins"]]
    devices = [row["client"].get("device_id", "").encode() for row in records["logins"]]
    assert logins["device_id"].tolist() == devices
    assert b"" in devices


def test_an_address_leaves_the_gate_as_its_hash_alone_and_labels_have_the_same(
    records: dict[str, list[Record]],
) -> None:
    logins, labels = (judge(PIPELINE.by_topic[name], batch(records[name]), KEYS).good for name in
                      ("logins", "takeovers"))  # fmt: skip
    for rows in (logins, labels):
        assert not any(b"192.0.2." in column.tobytes() for column in rows.values())
    of = {row["login_id"]: ip for row, ip in zip(records["logins"], logins["ip"].tolist(), strict=True)}
    assert labels["ip"].tolist() == [of[row["login_id"]] for row in records["takeovers"]]
    assert len(set(of.values())) == len({row["client"]["ip"] for row in records["logins"]})
    assert {len(ip) for ip in of.values()} == {32}


def test_the_key_in_force_at_a_records_timestamp_hashes_it(records: dict[str, list[Record]]) -> None:
    same = records["logins"][:1] * 2
    mixed = RawBatch.of(
        (0, at, at_ms, None, json.dumps(row).encode(), None)
        for at, (row, at_ms) in enumerate(zip(same, (LATE_MS, 1_800_000_000_000), strict=True))
    )
    ips, contents = (judge(PIPELINE.scored, mixed, KEYS).good[name] for name in ("ip", "content_hash"))
    assert ips[0] != ips[1]
    assert contents[0] == contents[1], "a new key makes no repeat into other content"
    alone = [judge(PIPELINE.scored, mixed.pick([row]), KEYS).good["ip"][0] for row in (0, 1)]
    assert np.array_equal(ips, np.array(alone))


def test_without_a_secret_nothing_is_judged_but_refusals_are(records: dict[str, list[Record]]) -> None:
    with pytest.raises(ConfigError) as refused:
        judge(PIPELINE.scored, batch(records["logins"][:1]))
    assert refused.value.code == "E_HASH_KEY_NONE"
    assert refused_of(PIPELINE.scored, batch(records["logins"][:1])) == []


def changed(path: str, value: Any) -> Callable[[Record], Record]:
    def change(row: Record) -> Record:
        made: Record = json.loads(json.dumps(row))
        *way, last = path.split(".")
        below = made
        for key in way:
            below = below[key]
        if value is ...:
            del below[last]
        else:
            below[last] = value
        return made

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (changed("login_id", ...), "E_CONTRACT_MISSING"),
        (changed("login_id", None), "E_CONTRACT_NULL"),
        (changed("login_id", 5), "E_CONTRACT_TYPE"),
        (changed("login_id", "x" * 65), "E_CONTRACT_LENGTH"),
        (changed("login_id", "a\0b"), "E_CONTRACT_STRING"),
        (changed("account", ...), "E_CONTRACT_MISSING"),
        (changed("account", None), "E_CONTRACT_NULL"),
        (changed("account", "a1"), "E_CONTRACT_TYPE"),
        (changed("account", [{"id": "a1"}]), "E_CONTRACT_TYPE"),
        (changed("client.ip", ...), "E_CONTRACT_MISSING"),
        (changed("client.ip", ""), "E_CONTRACT_LENGTH"),
        (changed("client.channel", "fax"), "E_CONTRACT_ENUM"),
        (changed("at", 1_735_689_600_000), "E_TIME_FORMAT"),
        (changed("at", "2025-01-01T00:00:00"), "E_TIME_FORMAT"),
        (changed("at", "2025-02-29T00:00:00Z"), "E_TIME_FORMAT"),
        (changed("at", "1999-12-31T23:59:59.999Z"), "E_TIME_RANGE"),
        (changed("at", "2099-01-01T00:00:00Z"), "E_TIME_FUTURE"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_its_code(
    records: dict[str, list[Record]], change: Callable[[Record], Record], code: str
) -> None:
    good = records["logins"][0]
    verdict = judge(PIPELINE.scored, batch([good, change(good), good]), KEYS)
    assert [(bad.row, bad.code) for bad in verdict.bad] == [(1, code)]
    assert not any(good["client"]["ip"] in bad.reason for bad in verdict.bad)


def test_what_nobody_knows_is_counted_wherever_it_stands(records: dict[str, list[Record]]) -> None:
    good = records["logins"][0]
    wide = [good | {"x": {"y": [1, {"z": "q"}]}}, changed("client.agent", "é")(good), good | {"agent": "\\"}]
    verdict = judge(PIPELINE.scored, batch([good, *wide]), KEYS)
    assert (len(verdict.good_index), verdict.extra_fields) == (4, 3)


def test_a_label_known_before_its_login_is_refused(records: dict[str, list[Record]]) -> None:
    label = records["takeovers"][0] | {"known_at": "2001-01-01T00:00:00Z"}
    assert [bad.code for bad in refused_of(PIPELINE.labels[0], batch([label]))] == ["E_TIME_ORDER"]


@pytest.mark.parametrize("text", ["", "2025-01-01", "2025-01-01T25:00:00Z", "2025-01-01T00:00:00+24:00"])
def test_no_time_is_made_of_what_is_none(text: str) -> None:
    with pytest.raises(Refused):
        time_of(text, "")
