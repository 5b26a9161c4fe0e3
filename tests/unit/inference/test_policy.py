"""Policy files: what is refused and with which code, and how a running scorer takes one up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.errors import ConfigError, StateError
from inference.models.manifest import digest
from inference.policy.activation import activate, audit, rollback
from inference.policy.policy import DeclaredPolicy, policy_of, read_policy
from inference.policy.store import FOLDER, POLICY_FILE, find, keep, last_live, place_of
from inference.policy.watch import PolicyWatch
from inference.release.registry import Change
from load.this_project import PROJECT
from tests.unit.inference.support import policy

OVERRIDE = {
    "id": "o1", "customer": "c1", "decision": "decline", "until": "2030-01-01T00:00:00Z",
    "who": "ana", "why": "x",
}  # fmt: skip
SNOOZE = {"id": "s1", "rule": "amount_jump", "until": "2030-01-01T00:00:00Z", "who": "ana", "why": "x"}


def _refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as refused:
        policy_of(data, Path("p.yaml"), PROJECT)
    assert refused.value.where.startswith("p.yaml")
    assert refused.value.next_step
    return refused.value.code


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = yaml.safe_load(PROJECT.policy_path.read_bytes())
    change(document)
    return yaml.safe_dump(document).encode()


def test_the_default_is_what_its_digest_says() -> None:
    declared = read_policy(PROJECT.policy_path, PROJECT)
    assert declared.sha256 == digest(PROJECT.policy_path.read_bytes())
    assert (declared.policy.fallback, declared.policy.gatekeeper.mode) == ("review", "disabled")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("E_POLICY_FIELD", lambda d: d.pop("fallback")),
        ("E_POLICY_FIELD", lambda d: d.update(fallbck="review")),
        ("E_POLICY_DECISION", lambda d: d.update(fallback="maybe")),
        ("E_POLICY_FIELD", lambda d: d["rules"]["amount_limit"].update(figures={"limit_minor": None})),
        ("E_POLICY_FIELD", lambda d: d["rules"]["amount_limit"].update(limit=3)),
        ("E_POLICY_RULE", lambda d: d["rules"]["amount_limit"]["figures"].update(other=3)),
        ("E_POLICY_RULE", lambda d: d["rules"].update({"Limit!": d["rules"]["amount_limit"]})),
        ("E_POLICY_RULE", lambda d: d["rules"]["amount_limit"]["figures"].update(customer_count_1h=3)),
        ("E_POLICY_FEATURE", lambda d: d["rules"]["amount_jump"].update(feature="amount")),
        ("E_POLICY_FEATURE", lambda d: d["rules"]["amount_jump"].pop("feature")),
        (
            "E_POLICY_RULE_FORM",
            lambda d: d["rules"].update(amount_limit={"enabled": True, "severity": "review"}),
        ),
        ("E_EXPRESSION_SYNTAX", lambda d: d["rules"]["amount_limit"].update(when="amount_minor > ")),
        ("E_EXPRESSION_NAME", lambda d: d["rules"]["amount_limit"].update(when="amuont_minor > limit_minor")),
        ("E_EXPRESSION_NAME", lambda d: d["rules"]["amount_limit"].update(figures={})),
        ("E_EXPRESSION_TYPE", lambda d: d["rules"]["amount_limit"].update(when="amount_minor - limit_minor")),
        ("E_EXPRESSION_TYPE", lambda d: d["rules"]["amount_limit"]["figures"].update(limit_minor="much")),
        ("E_EXPRESSION_RANGE", lambda d: d["rules"]["amount_limit"]["figures"].update(limit_minor=2**60)),
        ("E_POLICY_DECISION", lambda d: d["rules"]["amount_limit"].update(severity="approve")),
        ("E_POLICY_RULE_FORM", lambda d: d["rules"].update(new_rule={"enabled": True, "severity": "review"})),
        ("E_POLICY_DECISION", lambda d: d.update(thresholds={"reviw": 0.5})),
        ("E_POLICY_FIELD", lambda d: d.update(thresholds={"review": 0.5, "decline": 1.5})),
        ("E_POLICY_THRESHOLDS", lambda d: d.update(thresholds={"review": 0.9, "decline": 0.5})),
        ("E_POLICY_VALUE", lambda d: d["rules"]["amount_jump"]["figures"].update(times_usual=float("nan"))),
        ("E_POLICY_VALUE", lambda d: d["rules"]["amount_jump"]["figures"].update(times_usual=float("inf"))),
        ("E_POLICY_FEATURE", lambda d: d.update(gatekeeper={"mode": "declared", "clear": {}})),
        (
            "E_POLICY_FEATURE",
            lambda d: d.update(gatekeeper={"mode": "proven", "clear": {"x": {"at_most": 1}}}),
        ),
        (
            "E_POLICY_FEATURE",
            lambda d: d.update(gatekeeper={"mode": "proven", "clear": {"amount_minor": {}}}),
        ),
        ("E_POLICY_KEY", lambda d: d.update(overrides=[OVERRIDE | {"terminal": "m1"}])),
        ("E_POLICY_KEY", lambda d: d.update(overrides=[OVERRIDE | {"customer": None}])),
        ("E_POLICY_TWICE", lambda d: d.update(overrides=[OVERRIDE, OVERRIDE])),
        ("E_POLICY_TIME", lambda d: d.update(overrides=[OVERRIDE | {"until": "tomorrow"}])),
        ("E_POLICY_TIME", lambda d: d.update(overrides=[OVERRIDE | {"until": "2030-01-01T00:00:00"}])),
        ("E_POLICY_RULE", lambda d: d.update(snoozes=[SNOOZE | {"rule": "amount_jmp"}])),
        ("E_POLICY_KEY", lambda d: d.update(snoozes=[SNOOZE | {"rule": None}])),
        ("E_POLICY_KEY", lambda d: d.update(overrides=[OVERRIDE | {"customer": ""}])),
        ("E_POLICY_KEY", lambda d: d.update(overrides=[OVERRIDE | {"customer": " \t"}])),
        ("E_POLICY_KEY", lambda d: d.update(overrides=[OVERRIDE | {"customer": None, "terminal": ""}])),
        ("E_POLICY_KEY", lambda d: d.update(overrides=[OVERRIDE | {"customer": "é" * 33}])),
        ("E_POLICY_KEY", lambda d: d.update(snoozes=[SNOOZE | {"customer": ""}])),
        ("E_POLICY_KEY", lambda d: d.update(snoozes=[SNOOZE | {"rule": None, "customer": "  "}])),
        ("E_POLICY_FIELD", lambda d: d.update(overrides=[OVERRIDE | {"who": " "}])),
        ("E_POLICY_FIELD", lambda d: d.update(snoozes=[SNOOZE | {"why": "\n"}])),
        ("E_POLICY_TIME", lambda d: d.update(overrides=[OVERRIDE | {"until": "1999-12-31T00:00:00Z"}])),
        ("E_POLICY_TIME", lambda d: d.update(snoozes=[SNOOZE | {"until": "0001-01-01T00:00:00+23:00"}])),
        (
            "E_POLICY_KEY",
            lambda d: d.update(overrides=[OVERRIDE, OVERRIDE | {"id": "o2", "decision": "approve"}]),
        ),
        (
            "E_POLICY_FEATURE",
            lambda d: d.update(
                gatekeeper={"mode": "proven", "clear": {"amount_minor": {"at_least": 2, "at_most": 1}}}
            ),
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_code(
    code: str, change: Callable[[dict[str, Any]], object]
) -> None:
    assert _refusal(_changed(change)) == code


def test_a_name_that_no_feature_has_is_refused_with_the_nearest_one_and_its_place() -> None:
    data = _changed(lambda d: d["rules"]["customer_velocity"].update(when="customer_count_1hr > payments"))
    with pytest.raises(ConfigError) as refused:
        policy_of(data, Path("p.yaml"), PROJECT)
    assert "rules.customer_velocity.when" in refused.value.what
    assert "the nearest is customer_count_1h" in refused.value.what
    assert "character 1 of" in refused.value.what


def test_a_file_of_the_old_form_is_refused_with_what_to_write() -> None:
    old = {"enabled": True, "severity": "review", "amount_minor": 1_000_000}
    with pytest.raises(ConfigError, match="E_POLICY_RULE_FORM") as refused:
        policy_of(_changed(lambda d: d["rules"].update(amount_limit=old)), Path("p.yaml"), PROJECT)
    assert "`when`" in refused.value.next_step


def test_an_override_that_decides_for_longer_than_the_severer_one_is_kept() -> None:
    longer = OVERRIDE | {"id": "o2", "decision": "approve", "until": "2031-01-01T00:00:00Z"}
    other = OVERRIDE | {"id": "o3", "decision": "approve", "customer": "c2"}
    data = _changed(lambda d: d.update(overrides=[OVERRIDE, longer, other]))
    assert len(policy_of(data, Path("p.yaml"), PROJECT).policy.overrides) == 3


@pytest.mark.parametrize("data", [b"a: [", b"\xff", b"a: 1\na: 2\n", b"- 1\n", b"", b"version: 1e3\n", b"\0"])
def test_bytes_that_are_no_plain_mapping_are_refused(data: bytes) -> None:
    assert _refusal(data) == "E_CONFIG_YAML"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E_POLICY_FILE"):
        read_policy(tmp_path / "none.yaml", PROJECT)
    with pytest.raises(ConfigError, match="E_POLICY_FILE"):
        read_policy(tmp_path, PROJECT)


class Heard:
    """What a watch told."""

    def __init__(self) -> None:
        self.live: list[str] = []
        self.refused: list[str] = []

    def policy_live(self, declared: DeclaredPolicy) -> None:
        self.live.append(declared.policy.version)

    def policy_refused(self, error: ConfigError) -> None:
        self.refused.append(error.code)


def test_the_watch_takes_up_a_change_refuses_a_bad_one_and_keeps_each_that_was_live(tmp_path: Path) -> None:
    heard, file = Heard(), tmp_path / POLICY_FILE
    watch = PolicyWatch(PROJECT, tmp_path, None, heard)
    watch.look()
    assert watch.current().policy.version == "1"
    two = policy(version="2")
    file.write_bytes(two.data)
    watch.look()
    watch.look()
    assert watch.current().sha256 == two.sha256
    for bad in (b"{", two.data[:-2], _changed(lambda d: d.update(fallback="maybe"))):
        file.write_bytes(bad)
        watch.look()
        watch.look()
        assert watch.current().sha256 == two.sha256
    assert heard.live == ["1", "2"]
    assert heard.refused == ["E_CONFIG_YAML", "E_CONFIG_YAML", "E_POLICY_DECISION"]
    for declared in (read_policy(PROJECT.policy_path, PROJECT), two):
        assert find(tmp_path, declared.sha256, PROJECT).data == declared.data


def test_a_restart_under_a_bad_file_goes_on_with_the_policy_that_was_last_live(tmp_path: Path) -> None:
    two = policy(version="2")
    keep(tmp_path, two)
    (tmp_path / POLICY_FILE).write_text("{")
    heard = Heard()
    watch = PolicyWatch(PROJECT, tmp_path, None, heard, interval_s=60.0)
    watch.start()
    watch.close()
    assert watch.current().sha256 == two.sha256
    assert (heard.refused, heard.live) == (["E_CONFIG_YAML"], ["2"])


def test_a_first_start_under_a_bad_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / POLICY_FILE).write_text("{")
    with pytest.raises(ConfigError, match="E_CONFIG_YAML"):
        PolicyWatch(PROJECT, tmp_path, None, Heard()).start()


def test_a_kept_policy_is_found_by_digest_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    two = policy(version="2")
    keep(tmp_path, two)
    path = tmp_path / FOLDER / f"{two.sha256}.yaml"
    path.write_bytes(two.data + b"# and more\n")
    with pytest.raises(StateError, match="E_POLICY_DAMAGED"):
        find(tmp_path, two.sha256, PROJECT)
    path.unlink()
    with pytest.raises(StateError, match="E_POLICY_UNKNOWN"):
        find(tmp_path, two.sha256, PROJECT)
    default = read_policy(PROJECT.policy_path, PROJECT)
    assert find(tmp_path, default.sha256, PROJECT).data == default.data


def test_a_named_file_comes_before_the_registrys_own(tmp_path: Path) -> None:
    assert place_of(tmp_path, None, PROJECT) == PROJECT.policy_path
    (tmp_path / POLICY_FILE).write_bytes(policy().data)
    assert place_of(tmp_path, None, PROJECT) == tmp_path / POLICY_FILE
    assert place_of(tmp_path, PROJECT.policy_path, PROJECT) == PROJECT.policy_path


def _change(why: str, at_ms: int = 1) -> Change:
    return Change(who="ana", at_ms=at_ms, why=why)


def test_who_put_which_policy_in_force_when_and_why_is_kept(tmp_path: Path) -> None:
    one, two = policy(version="2"), policy(version="3")
    activate(tmp_path, one, _change("first", 5), PROJECT)
    activate(tmp_path, two, _change("second", 6), PROJECT)
    rows = audit(tmp_path)
    assert [(row.at_ms, row.who, row.why, row.action, row.version) for row in rows] == [
        (5, "ana", "first", "activate", "2"), (6, "ana", "second", "activate", "3"),
    ]  # fmt: skip
    assert [(row.before, row.sha256) for row in rows] == [
        (read_policy(PROJECT.policy_path, PROJECT).sha256, one.sha256), (one.sha256, two.sha256),
    ]  # fmt: skip
    assert read_policy(place_of(tmp_path, None, PROJECT), PROJECT).sha256 == two.sha256
    found = last_live(tmp_path, PROJECT)
    assert found is not None
    assert found.data == two.data


def test_a_policy_is_rolled_back_through_all_that_were_in_force(tmp_path: Path) -> None:
    default, one, two = read_policy(PROJECT.policy_path, PROJECT), policy(version="2"), policy(version="3")
    for declared in (one, two):
        activate(tmp_path, declared, _change("x"), PROJECT)
    for due in (one, default):
        assert rollback(tmp_path, _change("too many reviews"), PROJECT).sha256 == due.sha256
        assert read_policy(place_of(tmp_path, None, PROJECT), PROJECT).data == due.data
    with pytest.raises(StateError, match="E_POLICY_HISTORY"):
        rollback(tmp_path, _change("once more"), PROJECT)
    assert [row.action for row in audit(tmp_path)] == ["activate", "activate", "rollback", "rollback"]
    activate(tmp_path, two, _change("again"), PROJECT)
    assert rollback(tmp_path, _change("no"), PROJECT).sha256 == default.sha256


def test_a_file_put_in_place_by_hand_can_be_gone_back_to_and_from(tmp_path: Path) -> None:
    one, hand, two = policy(version="2"), policy(version="9"), policy(version="3")
    activate(tmp_path, one, _change("x"), PROJECT)
    (tmp_path / POLICY_FILE).write_bytes(hand.data)
    assert rollback(tmp_path, _change("who was that?"), PROJECT).sha256 == one.sha256
    (tmp_path / POLICY_FILE).write_bytes(hand.data)
    activate(tmp_path, two, _change("y"), PROJECT)
    assert rollback(tmp_path, _change("z"), PROJECT).sha256 == hand.sha256


def test_a_bad_file_in_force_is_gone_back_from_and_a_damaged_record_says_its_line(tmp_path: Path) -> None:
    one = policy(version="2")
    activate(tmp_path, one, _change("x"), PROJECT)
    (tmp_path / POLICY_FILE).write_text("{")
    assert rollback(tmp_path, _change("{"), PROJECT).sha256 == one.sha256
    with (tmp_path / FOLDER / "audit.ndjson").open("ab") as sink:
        sink.write(b'{"at_ms": 1')
    with pytest.raises(StateError, match=r"E_POLICY_AUDIT.*line 3"):
        audit(tmp_path)


def test_a_policy_cannot_go_live_where_nobody_can_keep_it(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("no folder")
    with pytest.raises(ConfigError, match="E_POLICY_STORE"):
        activate(tmp_path, policy(version="2"), _change("x"), PROJECT)
    assert not (tmp_path / POLICY_FILE).exists()
