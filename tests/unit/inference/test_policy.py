"""Policy files: what is refused and with which code, and how a running scorer takes one up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.errors import ConfigError, StateError
from inference.models.manifest import digest
from inference.policy import DEFAULT
from inference.policy.policy import DeclaredPolicy, policy_of, read_policy
from inference.policy.store import FOLDER, POLICY_FILE, find, keep, place_of
from inference.policy.watch import PolicyWatch
from tests.unit.inference.support import policy

OVERRIDE = {
    "id": "o1", "customer": "c1", "decision": "decline", "until": "2030-01-01T00:00:00Z",
    "who": "ana", "why": "x",
}  # fmt: skip
SNOOZE = {"id": "s1", "rule": "amount_jump", "until": "2030-01-01T00:00:00Z", "who": "ana", "why": "x"}


def _refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as refused:
        policy_of(data, Path("p.yaml"))
    assert refused.value.where.startswith("p.yaml")
    assert refused.value.next_step
    return refused.value.code


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = yaml.safe_load(DEFAULT.read_bytes())
    change(document)
    return yaml.safe_dump(document).encode()


def test_the_default_is_what_its_digest_says() -> None:
    declared = read_policy(DEFAULT)
    assert declared.sha256 == digest(DEFAULT.read_bytes())
    assert (declared.policy.fallback, declared.policy.gatekeeper.mode) == ("review", "disabled")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("E_POLICY_FIELD", lambda d: d.pop("fallback")),
        ("E_POLICY_FIELD", lambda d: d.update(fallbck="review")),
        ("E_POLICY_FIELD", lambda d: d.update(fallback="maybe")),
        ("E_POLICY_FIELD", lambda d: d["rules"]["amount_limit"].update(amount_minor=-1)),
        ("E_POLICY_FIELD", lambda d: d["rules"]["amount_limit"].update(severity="approve")),
        ("E_POLICY_FIELD", lambda d: d["rules"].update(new_rule={"enabled": True, "severity": "review"})),
        ("E_POLICY_FIELD", lambda d: d["rules"].pop("amount_jump")),
        ("E_POLICY_FIELD", lambda d: d.update(thresholds={"review": 0.5})),
        ("E_POLICY_FIELD", lambda d: d.update(thresholds={"review": 0.5, "decline": 1.5})),
        ("E_POLICY_THRESHOLDS", lambda d: d.update(thresholds={"review": 0.9, "decline": 0.5})),
        ("E_POLICY_VALUE", lambda d: d["rules"]["amount_jump"].update(amount_times_usual=float("nan"))),
        ("E_POLICY_VALUE", lambda d: d["rules"]["amount_jump"].update(amount_times_usual=float("inf"))),
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
    ],
)
def test_what_makes_no_sense_is_refused_with_its_code(
    code: str, change: Callable[[dict[str, Any]], object]
) -> None:
    assert _refusal(_changed(change)) == code


@pytest.mark.parametrize("data", [b"a: [", b"\xff", b"a: 1\na: 2\n", b"- 1\n", b"", b"version: 1e3\n", b"\0"])
def test_bytes_that_are_no_plain_mapping_are_refused(data: bytes) -> None:
    assert _refusal(data) == "E_CONFIG_YAML"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="E_POLICY_FILE"):
        read_policy(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="E_POLICY_FILE"):
        read_policy(tmp_path)


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
    watch = PolicyWatch(tmp_path, None, heard)
    watch.look()
    assert watch.current().policy.version == "1"
    two = policy(version="2")
    file.write_bytes(two.data)
    watch.look()
    watch.look()
    assert watch.current().sha256 == two.sha256
    for bad in (b"{", two.data[:-40], _changed(lambda d: d.update(fallback="maybe"))):
        file.write_bytes(bad)
        watch.look()
        watch.look()
        assert watch.current().sha256 == two.sha256
    assert heard.live == ["1", "2"]
    assert heard.refused == ["E_CONFIG_YAML", "E_CONFIG_YAML", "E_POLICY_FIELD"]
    for declared in (read_policy(DEFAULT), two):
        assert find(tmp_path, declared.sha256).data == declared.data


def test_a_restart_under_a_bad_file_goes_on_with_the_policy_that_was_last_live(tmp_path: Path) -> None:
    two = policy(version="2")
    keep(tmp_path, two)
    (tmp_path / POLICY_FILE).write_text("{")
    heard = Heard()
    watch = PolicyWatch(tmp_path, None, heard, interval_s=60.0)
    watch.start()
    watch.close()
    assert watch.current().sha256 == two.sha256
    assert (heard.refused, heard.live) == (["E_CONFIG_YAML"], ["2"])


def test_a_first_start_under_a_bad_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / POLICY_FILE).write_text("{")
    with pytest.raises(ConfigError, match="E_CONFIG_YAML"):
        PolicyWatch(tmp_path, None, Heard()).start()


def test_a_kept_policy_is_found_by_digest_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    two = policy(version="2")
    keep(tmp_path, two)
    path = tmp_path / FOLDER / f"{two.sha256}.yaml"
    path.write_bytes(two.data + b"# and more\n")
    with pytest.raises(StateError, match="E_POLICY_DAMAGED"):
        find(tmp_path, two.sha256)
    path.unlink()
    with pytest.raises(StateError, match="E_POLICY_UNKNOWN"):
        find(tmp_path, two.sha256)
    default = read_policy(DEFAULT)
    assert find(tmp_path, default.sha256).data == default.data


def test_a_named_file_comes_before_the_registrys_own(tmp_path: Path) -> None:
    assert place_of(tmp_path, None) == DEFAULT
    (tmp_path / POLICY_FILE).write_bytes(policy().data)
    assert place_of(tmp_path, None) == tmp_path / POLICY_FILE
    assert place_of(tmp_path, DEFAULT) == DEFAULT
