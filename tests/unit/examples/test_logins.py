"""The project `examples/logins`: its declarations are right, its generator keeps to its contracts."""

import doctest
import json
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from contracts.contract_file import contract_of
from contracts.contract_version import ContractVersion
from features.project.check import check_project
from features.project.load import run_file

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "logins"
Records = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return run_file(FOLDER / "generate.py")


@pytest.fixture(scope="module")
def records(generator: ModuleType) -> Records:
    made: Records = generator.generate(generator.Plan())
    return made


def value_at(record: dict[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = record
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def breaches(record: dict[str, Any], contract: ContractVersion) -> list[str]:
    """Say what in a record breaks its contract."""
    found = []
    for field in contract.fields:
        value = value_at(record, field.path)
        if value is None:
            found += [field.name] if field.required else []
        elif (field.enum and value not in field.enum) or (
            field.type == "time" and datetime.fromisoformat(value).tzinfo is None
        ):
            found.append(field.name)
    return found


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_project_is_right_and_says_what_is_not_run_yet() -> None:
    project = check_project(FOLDER)
    assert project.problems == ()
    assert [view.name for view in project.views] == [
        "account_logins", "failed", "account_resets", "device_logins", "ip_logins", "ip_takeovers",
    ]  # fmt: skip
    assert project.needs == ()


def test_every_record_keeps_to_its_contract(records: Records) -> None:
    for topic, rows in records.items():
        contract = contract_of(FOLDER / "contracts" / f"{topic}.yaml")
        assert contract.topic == topic
        assert [found for row in rows if (found := breaches(row, contract))] == []
        (id_field,) = contract.id_fields
        assert len({row[id_field] for row in rows}) == len(rows)


def test_a_seed_makes_the_same_records_again_and_another_seed_others(
    generator: ModuleType, records: Records
) -> None:
    assert generator.generate(generator.Plan()) == records
    assert generator.generate(generator.Plan(seed=2)) != records


def test_both_forms_of_file_hold_the_same_records(generator: ModuleType, tmp_path: Path) -> None:
    made = {}
    for form in ("ndjson", "parquet"):
        command = [sys.executable, str(FOLDER / "generate.py"), str(tmp_path / form), "--accounts", "50"]
        subprocess.run([*command, "--days", "5", "--format", form], check=True, capture_output=True)
        again = tmp_path / f"{form}-again"
        command[2] = str(again)
        subprocess.run([*command, "--days", "5", "--format", form], check=True, capture_output=True)
        made[form] = (tmp_path / form / f"logins.{form}").read_bytes()
        assert (again / f"logins.{form}").read_bytes() == made[form]
    lines = [json.loads(line) for line in made["ndjson"].splitlines()]
    table = pq.read_table(tmp_path / "parquet" / "logins.parquet").to_pylist()
    for row in table:
        row["client"] = {name: value for name, value in row["client"].items() if value is not None}
    assert lines == table == generator.generate(generator.Plan(accounts=50, days=5))["logins"]


def test_days_have_a_rhythm_and_some_devices_are_missing(records: Records) -> None:
    logins = records["logins"]
    hours = Counter(datetime.fromisoformat(row["at"]).hour for row in logins)
    assert max(hours.values()) > 3 * min(hours.values())
    missing = sum("device_id" not in row["client"] for row in logins) / len(logins)
    assert 0.1 < missing < 0.5
    assert [row["at"] for row in logins] == sorted(row["at"] for row in logins)


def test_the_attacks_are_in_the_records(records: Records) -> None:
    logins = records["logins"]
    accounts_of, failures_of = defaultdict(set), defaultdict(list)
    for row in logins:
        accounts_of[row["client"]["ip"], row["at"][:13]].add(row["account"]["id"])
        if row["result"] == "failed":
            failures_of[row["account"]["id"]].append(seconds(row["at"]))
    attacking = [
        ip for (ip, _), accounts in accounts_of.items() if ip.startswith("192.0.2.") and len(accounts) >= 20
    ]
    assert attacking, "no address tries many accounts"
    assert any(
        later - earlier < 600
        for times in failures_of.values()
        for earlier, later in zip(times, times[7:], strict=False)
    ), "nobody guesses"
    taken = {row["login_id"] for row in records["takeovers"] if row["outcome"] == "takeover"}
    of_taken = [row for row in logins if row["login_id"] in taken]
    assert all(row["result"] == "ok" and row["client"]["ip"].startswith("192.0.2.") for row in of_taken)
    reset_at = defaultdict(list)
    for row in records["resets"]:
        reset_at[row["account"]["id"]].append(seconds(row["at"]))
    after_reset = [
        row for row in of_taken
        if any(0 < seconds(row["at"]) - at <= 900 for at in reset_at[row["account"]["id"]])
    ]  # fmt: skip
    stuffed = [row for row in of_taken if len(accounts_of[row["client"]["ip"], row["at"][:13]]) >= 10]
    guessed = [
        row for row in of_taken
        if sum(0 < seconds(row["at"]) - at < 600 for at in failures_of[row["account"]["id"]]) >= 5
    ]  # fmt: skip
    quiet = [row for row in of_taken if row not in (*after_reset, *stuffed, *guessed)]
    assert all(len(some) >= 3 for some in (after_reset, stuffed, guessed, quiet))


def test_no_field_of_a_login_gives_a_take_over_away(records: Records) -> None:
    """Attackers use the clients and the hours of owners: shares differ by chance alone."""
    taken = {row["login_id"] for row in records["takeovers"] if row["outcome"] == "takeover"}
    good = [row for row in records["logins"] if row["result"] == "ok"]
    attacks, owners = (
        [row for row in good if (row["login_id"] in taken) is is_one] for is_one in (True, False)
    )
    for field in (
        lambda row: row["client"]["channel"], lambda row: "device_id" in row["client"],
        lambda row: 8 <= datetime.fromisoformat(row["at"]).hour < 20,
    ):  # fmt: skip
        shares = [Counter(map(field, rows)) for rows in (attacks, owners)]
        for value in shares[1]:
            there, here = (counts[value] / counts.total() for counts in shares)
            assert abs(there - here) < 4 * (here * (1 - here) / len(attacks)) ** 0.5 + 0.02, value


def test_what_a_login_was_becomes_known_days_later(records: Records) -> None:
    days = [(seconds(row["known_at"]) - seconds(row["at"])) / 86_400 for row in records["takeovers"]]
    assert min(days) >= 0.999
    assert max(days) <= 14.001
    assert max(days) - min(days) > 5
    outcomes = Counter(row["outcome"] for row in records["takeovers"])
    assert outcomes["takeover"] >= 30
    assert outcomes["legitimate"] >= 100


def test_the_example_in_the_generator_runs(generator: ModuleType) -> None:
    assert doctest.testmod(generator) == (0, 2)
