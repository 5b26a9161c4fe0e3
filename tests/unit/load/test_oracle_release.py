"""The oracle finds a wrong arm, a wrong shadow and a canary that decides where it must not."""

from typing import Any

import pytest

from load.oracle.release import arm_of, release_differences

EXPERIMENT = {"id": "fraud/2", "share_percent": 50.0}
CANARYS = next(f"c{n}" for n in range(100) if arm_of(EXPERIMENT, f"c{n}") == "canary")
CHAMPIONS = next(f"c{n}" for n in range(100) if arm_of(EXPERIMENT, f"c{n}") == "champion")


def prediction(customer: str, stage: str, **changes: Any) -> dict[str, Any]:
    version = {"canary": "2", "champion": "1"}[stage]
    return {
        "score": 0.5, "keys": {"customer": customer},
        "model": {"name": "fraud", "version": version, "stage": stage},
        "shadow": [{"model": "fraud/3", "score": 0.25}], "experiment": {**EXPERIMENT, "arm": stage},
    } | changes  # fmt: skip


def score(name: str, _: dict[str, Any]) -> float | None:
    return {"fraud/1": 0.5, "fraud/2": 0.75, "fraud/3": 0.25}.get(name)


def differences(told: dict[str, Any], by: Any = score) -> list[str]:
    return release_differences(told, by)


def test_what_is_right_is_left_alone() -> None:
    assert differences(prediction(CANARYS, "canary")) == []
    assert differences(prediction(CHAMPIONS, "champion")) == []
    alone = prediction(CHAMPIONS, "champion")
    del alone["experiment"]
    assert differences(alone) == []
    unmodelled = {"keys": {"customer": "c"}, "shadow": []}
    assert differences(unmodelled) == []


@pytest.mark.parametrize(
    "told",
    [
        prediction(CHAMPIONS, "canary"),
        prediction(CANARYS, "champion"),
        prediction(CANARYS, "champion", experiment={**EXPERIMENT, "arm": "canary"}),
        prediction(CANARYS, "canary", experiment={**EXPERIMENT, "arm": "champion"}),
        prediction(CANARYS, "canary", experiment={**EXPERIMENT, "id": "fraud/9", "arm": "canary"}),
        prediction(CANARYS, "canary", shadow=[{"model": "fraud/3", "score": 0.2500001}]),
        prediction(CANARYS, "canary", shadow=[{"model": "unknown/1", "score": 0.25}]),
        {
            "keys": {"customer": CANARYS},
            "score": 0.5,
            "shadow": [],
            "model": {"name": "fraud", "version": "2", "stage": "canary"},
        },
    ],
)
def test_each_fault_is_found(told: dict[str, Any]) -> None:
    assert len(differences(told)) == 1


def test_a_canary_without_a_score_lets_the_champion_decide() -> None:
    told = prediction(CANARYS, "champion", experiment={**EXPERIMENT, "arm": "canary"})
    assert differences(told, lambda name, p: float("nan") if name == "fraud/2" else score(name, p)) == []
