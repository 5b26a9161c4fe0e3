"""A model's trees as arrays: the thresholds at which a feature turns, and the highest score within bounds.

A numeric split sends a value at or below its threshold to the left, and a null where the split says. A
categorical one sends a set of codes to the left: it has no threshold, and bounds say nothing of it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ZERO = 1e-35  # LightGBM's own: what is nearer to 0 than this is 0


class Box(NamedTuple):
    """Where each feature of a vector may lie, both ends included, and whether it may be null; (f,) each."""

    low: Floats
    high: Floats
    nullable: NDArray[np.bool_]

    @classmethod
    def anywhere(cls, width: int) -> "Box":
        """Return the box that holds every vector."""
        return cls(np.full(width, -np.inf), np.full(width, np.inf), np.ones(width, np.bool_))


class Trees:
    """What `lightgbm.Booster.dump_model` says of a model's trees.

    >>> leaf = [{"leaf_value": -1.0}, {"leaf_value": 2.0}]
    >>> split = {"split_feature": 0, "threshold": 5.0, "default_left": True, "missing_type": "NaN",
    ...          "left_child": leaf[0], "right_child": leaf[1]}
    >>> trees = Trees({"tree_info": [{"tree_structure": split}]}, width=1)
    >>> trees.thresholds[0].tolist(), trees.highest(Box.anywhere(1))
    ([5.0], 2.0)
    >>> trees.highest(Box(np.array([0.0]), np.array([5.0]), np.array([False])))
    -1.0
    """

    def __init__(self, dump: Mapping[str, Any], width: int) -> None:
        self._roots = [tree["tree_structure"] for tree in dump["tree_info"]]
        found: list[set[float]] = [set() for _ in range(width)]
        stack = list(self._roots)
        while stack:
            node = stack.pop()
            if "split_feature" in node:
                if not _is_categorical(node):
                    found[node["split_feature"]].add(float(node["threshold"]))
                stack += [node["left_child"], node["right_child"]]
        self.thresholds: list[Floats] = [np.array(sorted(values)) for values in found]

    def highest(self, box: Box) -> float:
        """Return a raw score that no vector in the box exceeds: the sum of each tree's highest leaf.

        The trees' leaves need not be reachable together, so the true highest score may be lower.
        """
        return float(sum(_highest(root, box) for root in self._roots))


def _is_categorical(node: Mapping[str, Any]) -> bool:
    return node.get("decision_type") == "=="


def _highest(node: Mapping[str, Any], box: Box) -> float:
    if "split_feature" not in node:
        return float(node["leaf_value"])
    sides = _sides(node, box)
    return max(_highest(node[side], box) for side in sides)


def _sides(node: Mapping[str, Any], box: Box) -> list[str]:
    """Return the children that some value in the box is sent to; both where that is not certain."""
    if _is_categorical(node):
        return ["left_child", "right_child"]
    at, threshold = node["split_feature"], float(node["threshold"])
    low, high, nullable = float(box.low[at]), float(box.high[at]), bool(box.nullable[at])
    zero_is_missing = node["missing_type"] == "Zero" and low <= _ZERO and high >= -_ZERO
    if zero_is_missing or (nullable and node["missing_type"] != "NaN"):
        return ["left_child", "right_child"]
    left = low <= threshold or (nullable and node["default_left"])
    right = high > threshold or (nullable and not node["default_left"])
    return ["left_child"] * left + ["right_child"] * right
