"""Who decided and who only scored: a prediction's shadows, its experiment and its model's stage."""

from collections.abc import Callable, Mapping
from typing import Any

from load.oracle.bits import same
from load.oracle.hashes import fnv_splitmix

MILLIONTHS = 1_000_000
_MASK = 2**64 - 1

Score = Callable[[str, dict[str, Any]], float | None]  # a model by name/version, a prediction: its score


def arm_of(experiment: Mapping[str, Any], key: str) -> str:
    """Return whose event of a first key is: both hashes combined and finalised once more, below the share.

    >>> arm_of({"id": "fraud/0002-ab", "share_percent": 50}, "c2")
    'champion'
    """
    h = fnv_splitmix(key.encode()) ^ fnv_splitmix(experiment["id"].encode())
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & _MASK
    h ^= h >> 31
    return "canary" if h % MILLIONTHS < round(experiment["share_percent"] / 100 * MILLIONTHS) else "champion"


def release_differences(prediction: dict[str, Any], score: Score) -> list[str]:
    """Return what is wrong with a prediction's shadows and arm, for people.

    Args:
        score: recomputes a model's score of the prediction's vector; None for a model that is not known.
    """
    wrong = []
    for shadow in prediction["shadow"]:
        due = score(shadow["model"], prediction)
        if due is None or not same([shadow["score"]], [due]):
            wrong.append(f"shadow {shadow['model']} {shadow['score']}, not {due}")
    return wrong + _arm(prediction, score)


def _arm(prediction: dict[str, Any], score: Score) -> list[str]:
    experiment = prediction.get("experiment")
    model: dict[str, Any] = prediction.get("model") or {"name": "", "version": "", "stage": "champion"}
    stage = model["stage"]
    if experiment is None:
        return [] if stage == "champion" else [f"a {stage} decided without an experiment"]
    arm = arm_of(experiment, next(iter(prediction["keys"].values())) or prediction["event_id"])
    if experiment["arm"] != arm:
        return [f"the {experiment['arm']}'s customer, who is the {arm}'s"]
    if "score" not in prediction:
        return []  # nobody was asked, or nobody had a score
    if arm == "canary" and stage == "champion":  # where the canary has no usable score, and only there
        due = score(experiment["id"], prediction)
        return (
            [] if due is not None and not 0 <= due <= 1 else [f"the canary gives {due}, the champion decided"]
        )
    if stage != arm:
        return [f"a {stage} decided for the {arm}'s customer"]
    if arm == "canary" and f"{model['name']}/{model['version']}" != experiment["id"]:
        return [f"{model['name']}/{model['version']} decided in the experiment of {experiment['id']}"]
    return []
