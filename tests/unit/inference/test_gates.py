"""A gate that does not hold refuses with its name, value and limit; force passes it by and is audited."""

import math
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ModelError
from inference.release.gates import LIVE, OFFLINE, Evidence, judge
from inference.release.live_evidence import Figures, FolderEvidence, Report, write_report
from inference.release.promotion import Promoter
from inference.release.registry import Change, Registry
from inference.release.settings import ReleaseGateSettings
from load.this_project import PROJECT
from tests.unit.inference.support import trained_text
from tests.unit.inference.versions import CHANGE, REPORT, offer

SOUND = Evidence(
    report=REPORT, golden=True, against={"gain": 0.01}, live=Figures(scores=5000, errors=0),
    champion_live=Figures(), has_champion=True,
)  # fmt: skip
SETTINGS = ReleaseGateSettings()
BELOW_LOGISTIC = {"logistic_regression": {"gain": -0.01}, "constant": {"gain": 1}}
SURE_OF_NOTHING = {"reliability": [{"rows": 9, "score_mean": 0.5, "positive_share": 0}]}


def broken(evidence: Evidence, to: Any = "champion", settings: ReleaseGateSettings = SETTINGS) -> list[str]:
    return [finding.gate for finding in judge(to, evidence, settings) if not finding.holds]


def changed(**parts: Any) -> Evidence:
    return SOUND._replace(report=REPORT | parts)


def test_a_sound_version_passes_every_gate() -> None:
    for to in ("shadow", "canary", "champion"):
        assert broken(SOUND, to) == []
    asked = {finding.gate: finding for finding in judge("champion", SOUND, SETTINGS)}
    assert set(asked) == {gate.name for gate in (*OFFLINE, *LIVE)} - {"live_labels"}
    for gate in ("live_precision", "live_recall"):
        assert (asked[gate].value, asked[gate].code) == (None, "E_GATE_LABELS"), "what is passed by is said"


@pytest.mark.parametrize(
    ("gate", "evidence"),
    [
        ("beats_baselines", changed(comparison=BELOW_LOGISTIC)),
        ("beats_baselines", changed(comparison={})),
        ("not_worse_than_champion", SOUND._replace(against={"gain": -0.03})),
        ("not_worse_than_champion", SOUND._replace(against=None)),
        ("not_worse_than_champion", SOUND._replace(against={"gain": math.nan})),
        ("golden_rows", SOUND._replace(golden=False)),
        ("calibration_error", changed(quality=SURE_OF_NOTHING)),
        ("calibration_error", changed(quality={})),
        ("latency_p99_ms", changed(latency={"1000_rows": {"p99_ms": 51.0}})),
        ("disparate_impact", changed(segments=[{"disparate_impact": 0.79}, {"disparate_impact": 1.0}])),
        ("shadow_scores", SOUND._replace(live=Figures(scores=999))),
        ("shadow_failed_share", SOUND._replace(live=Figures(scores=5000, errors=6))),
        (
            "live_precision",
            SOUND._replace(
                live=Figures(scores=5000, labels=60, precision=0.4),
                champion_live=Figures(labels=9, precision=0.5),
            ),
        ),
    ],
)  # fmt: skip
def test_each_gate_refuses_on_its_own(gate: str, evidence: Evidence) -> None:
    assert broken(evidence) == [gate]
    found = next(finding for finding in judge("champion", evidence, SETTINGS) if finding.gate == gate)
    assert str(found).startswith(f"{gate}: ")
    assert f"limit {found.limit:.6g}" in str(found)


def test_live_gates_are_asked_where_a_champion_is_and_only_before_it_decides() -> None:
    unseen = SOUND._replace(live=Figures())
    assert broken(unseen, "shadow") == []
    assert broken(unseen, "canary") == ["shadow_scores", "shadow_failed_share"]
    assert broken(unseen._replace(has_champion=False), "champion") == []


def test_labels_may_be_asked_for() -> None:
    few = SOUND._replace(live=Figures(scores=5000, labels=3, precision=0.5))
    assert broken(few, settings=ReleaseGateSettings(labels_min=10)) == [
        "live_labels",
        "live_precision",
        "live_recall",
    ]


KNOWN = Figures(scores=5000, labels=60, precision=0.5, positives=100, caught=60)


@pytest.mark.parametrize(
    ("live", "refused"),
    [
        (KNOWN, []),
        (Figures(scores=5000), ["live_precision", "live_recall"]),
        (Figures(scores=5000, positives=100, caught=0), ["live_precision", "live_recall"]),
        (Figures(scores=5000, labels=3, precision=1.0, positives=100, caught=3), ["live_recall"]),
        (Figures(scores=5000, labels=60, precision=0.5, positives=19, caught=19), ["live_recall"]),
    ],
)
def test_a_version_that_flags_nothing_passes_no_gate_by_being_unknown(
    live: Figures, refused: list[str]
) -> None:
    evidence = SOUND._replace(live=live, champion_live=KNOWN)
    assert broken(evidence) == refused
    unknown = [f for f in judge("canary", evidence, SETTINGS) if f.gate in refused and f.value is None]
    assert all(finding.holds and finding.code == "E_GATE_LABELS" for finding in unknown), (
        "guardrails watch it"
    )


@pytest.mark.parametrize("at", ["logistic_regression", "constant"])
@pytest.mark.parametrize("gain", [None, math.nan])
def test_a_gain_that_is_not_known_is_no_gain(at: str, gain: float | None) -> None:
    comparison = {"logistic_regression": {"gain": 0.1}, "constant": {"gain": 0.4}, at: {"gain": gain}}
    assert broken(changed(comparison=comparison)) == ["beats_baselines"]
    assert broken(SOUND._replace(against={"gain": gain})) == ["not_worse_than_champion"]


def test_a_champion_that_has_learnt_the_rows_is_not_compared_with_and_that_is_said(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promoter = Promoter(PROJECT, registry, SETTINGS, FolderEvidence(tmp_path))
    one = offer(registry)
    promoter.promote(one, "champion", CHANGE)
    why = "cannot be compared: 0 frauds among 12 labelled payments that neither has learnt, 20 are needed"
    learnt = {"against": one, "gain": None, "code": "E_MODEL_COMPARE", "why": why}
    two = offer(
        registry, seed=2, report={**REPORT, "comparison": {**REPORT["comparison"], "champion": learnt}}
    )
    live = {two: Figures(scores=2000), one: Figures(scores=2000)}
    write_report(tmp_path, Report(source="scorer-0", at_ms=1, models=live))
    with pytest.raises(ModelError) as unknown:
        promoter.promote(two, "champion", CHANGE)
    assert unknown.value.code == "E_GATE_UNKNOWN"
    assert why in unknown.value.what
    _, findings = promoter.promote(two, "shadow", CHANGE)
    said = next(finding for finding in findings if finding.gate == "not_worse_than_champion")
    assert (said.value, said.holds, said.code) == (None, True, "E_MODEL_COMPARE"), "a shadow decides nothing"
    assert why in str(said)


def test_a_comparison_with_another_champion_says_nothing_of_this_one(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promoter = Promoter(PROJECT, registry, SETTINGS, FolderEvidence(tmp_path))
    one = offer(registry)
    two, three = offer(registry, seed=2, against=one), offer(registry, seed=3, against=one)
    promoter.promote(two, "champion", CHANGE)
    found = {f.gate: f for f in promoter.judge(three, "champion")}["not_worse_than_champion"]
    assert (found.value, found.code) == (None, "E_MODEL_COMPARE")
    assert two in found.why


def test_a_version_goes_through_its_gates_to_the_top(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promoter = Promoter(PROJECT, registry, SETTINGS, FolderEvidence(tmp_path))
    one = offer(registry)
    two = offer(registry, seed=2, against=one)
    assert promoter.promote(one, "champion", CHANGE)[0].stage == "champion"
    assert promoter.promote(two, "shadow", CHANGE)[0].stage == "shadow"
    with pytest.raises(ModelError) as refused:
        promoter.promote(two, "canary", CHANGE, share_percent=5)
    assert refused.value.code == "E_GATE_REFUSED"
    assert "shadow_scores: 0, limit 1000" in refused.value.what
    assert registry.find(two).stage == "shadow"
    live = {two: Figures(scores=2000, labels=60, precision=0.5), one: Figures(labels=60, precision=0.52)}
    write_report(tmp_path, Report(source="scorer-0", at_ms=1, models=live))
    assert promoter.promote(two, "canary", CHANGE, share_percent=5)[0].stage == "canary"
    assert promoter.promote(two, "champion", CHANGE)[0].stage == "champion"
    last = registry.audit()[-1]
    assert {found["gate"]: found["holds"] for found in last["gates"]}["live_precision"] is True


def test_golden_rows_that_differ_are_a_gate_and_other_damage_an_error(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promoter = Promoter(PROJECT, registry, SETTINGS, FolderEvidence(tmp_path))
    other = offer(registry, golden_text=trained_text(trees=3, leaves=5, seed=9))
    with pytest.raises(ModelError, match=r"E_GATE_REFUSED: golden_rows: 0, limit 1"):
        promoter.promote(other, "shadow", CHANGE)
    one = offer(registry)
    (tmp_path / one / "model.txt").write_bytes(b"changed")
    with pytest.raises(ModelError, match="E_MODEL_HASH"):
        promoter.promote(one, "shadow", CHANGE)


def test_force_needs_a_reason_and_is_audited(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promoter = Promoter(PROJECT, registry, SETTINGS, FolderEvidence(tmp_path))
    poor = offer(registry, report={})
    with pytest.raises(ModelError, match="E_GATE_REFUSED"):
        promoter.promote(poor, "champion", CHANGE)
    with pytest.raises(ModelError, match="E_GATE_FORCE"):
        promoter.promote(poor, "champion", Change(who="t", at_ms=1, why=""), force=True)
    entry, _ = promoter.promote(poor, "champion", CHANGE, force=True)
    assert entry.stage == "champion"
    row = registry.audit()[-1]
    assert (row["action"], row["why"]) == ("promote_by_force", "because")
    passed_by = [found["gate"] for found in row["gates"] if not found["holds"]]
    assert passed_by == ["beats_baselines", "calibration_error", "latency_p99_ms", "disparate_impact"]
    assert [found["value"] for found in row["gates"] if not found["holds"]] == [None] * 4


def test_a_promotion_that_was_overtaken_while_its_gates_were_judged_is_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    one, two = offer(registry), offer(registry, seed=2)

    class Overtaking(FolderEvidence):
        def of(self, version_id: str) -> Figures:
            if registry.release().champion is None:
                registry.promote(one, CHANGE)
            return super().of(version_id)

    with pytest.raises(ModelError, match="E_RELEASE_CHANGED"):
        Promoter(PROJECT, registry, SETTINGS, Overtaking(tmp_path)).promote(two, "champion", CHANGE)
    assert registry.find("champion").id == one
