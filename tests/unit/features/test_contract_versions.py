"""Versions of a contract lie side by side, and the one in force at a record's timestamp reads it."""

import json
from pathlib import Path

import pytest

from contracts.hashed_fields import HashKey, HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.check import check_project
from features.project.running import running_project
from tests.project_maker import LOGINS, write_project

START = "customProperties:\n  - {{property: effectiveFrom, value: '{}'}}\nschema:\n"
FROM_MS = 1_735_689_600_000  # 2025-01-01
KEYS = HashKeys((HashKey(version=1, from_ms=0, secret=b"k" * 16),))
CHANNEL = "      - {name: channel, logicalType: string, required: true, enum: [{value: web}, {value: app}]}\n"


def newest(text: str = LOGINS) -> str:
    return text.replace("schema:\n", START.format("2025-01-01T00:00:00Z")).replace('"1.0.0"', '"2.0.0"')


def oldest(text: str = LOGINS) -> str:
    plain = text.replace("logicalType: string, classification: personal", "logicalType: string")
    return plain.replace(CHANNEL, "")


def project(folder: Path, first: str, second: str) -> Path:
    made = write_project(folder)
    (made / "contracts" / "logins.yaml").write_text(second)
    (made / "contracts" / "logins-1.yaml").write_text(first)
    return made


def test_each_record_is_read_by_the_version_of_its_timestamp(tmp_path: Path) -> None:
    folder = project(tmp_path, oldest(), newest())
    assert check_project(folder).problems == ()
    source = running_project(folder).pipeline.scored
    assert [version.version for version in source.versions] == ["1.0.0", "2.0.0"]
    row = {
        "login_id": "l",
        "at": "2024-01-01T00:00:00Z",
        "account_id": "a",
        "result": "ok",
        "ip": "192.0.2.1",
    }
    values = [row, row | {"channel": "web"}, row | {"channel": "fax"}]
    at_ms = [FROM_MS - 1, FROM_MS, FROM_MS]
    batch = RawBatch.of(
        (0, n, at, None, json.dumps(value).encode(), None)
        for n, (at, value) in enumerate(zip(at_ms, values, strict=True))
    )
    verdict = judge(source, batch, KEYS)
    assert verdict.good["channel"].tolist() == [b"", b"web"]
    assert [(bad.row, bad.code, bad.contract_version) for bad in verdict.bad] == [
        (2, "E_CONTRACT_ENUM", "2.0.0")
    ]
    assert not any(b"192.0.2.1" in column.tobytes() for column in verdict.good.values())


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (oldest(), LOGINS, "version '1.0.0' is in force when logins.yaml is, which the source names"),
        (oldest(LOGINS.replace("clicks, logicalType: integer,", "clicks, logicalType: number,")),
         newest(), "version '1.0.0' says of 'clicks' number where version 2.0.0 says integer"),
        (oldest(LOGINS.replace("{name: at,", "{name: then,")), newest(),
         "version '1.0.0' has no time 'at', by which records count now"),
        (LOGINS.replace("logicalType: string, required: true, primaryKey", "logicalType: strng, primaryKey"),
         newest(), "logicalType 'strng' is not one that is read"),
    ],
)  # fmt: skip
def test_versions_that_do_not_go_together_are_a_problem(
    tmp_path: Path, first: str, second: str, what: str
) -> None:
    found = check_project(project(tmp_path, first, second)).problems
    assert what in [problem.what for problem in found]
    assert all(problem.code.startswith("E_ODCS") for problem in found)


def test_a_text_that_may_be_long_is_no_key_and_no_item(tmp_path: Path) -> None:
    long = LOGINS
    for name in ("account_id", "device_id"):
        long = long.replace(
            f"name: {name}, logicalType: string", f"name: {name}, logicalType: string, {LONG}"
        )
    found = check_project(write_project(tmp_path / "p", logins=long)).problems
    assert {(problem.code, problem.what) for problem in found} >= {
        ("E_DECLARE_KEY", "the key 'account_id' is a string whose maxLength is above 256 bytes"),
        ("E_DECLARE_FIELD", "distinct of 'device_id', which is a string whose maxLength is above 256 bytes"),
    }


LONG = "logicalTypeOptions: {maxLength: 257}"
