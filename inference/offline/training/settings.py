"""What may be chosen about a training; read once, from the environment, by `headrace`."""

from typing import Any

import msgspec

NEARBY: tuple[dict[str, Any], ...] = (
    {"max_depth": 4, "num_leaves": 12},
    {"learning_rate": 0.05},
    {"max_depth": 4, "num_leaves": 15, "learning_rate": 0.05},
    {"min_child_samples": 20},
    {"max_depth": 2, "num_leaves": 4},
    {"lambda_l2": 5.0},
    {"feature_fraction": 0.7},
)


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen about a training; all of it is in the manifest.

    The last `holdout_share` of the time range is kept from every choice, `validation_share` before it makes
    them: rounds, calibration, thresholds and, with `search_trials`, the best of that many settings nearby.
    `review_cost_minor` is what a person's look costs, `positive_weight` what one positive weighs against one
    good event.

    `review_share` is the share of events that people can look at; an event is declined where at least
    `decline_precision_min` of the validation events scored as high were positives.
    """

    seed: int = 20260101
    validation_share: float = 0.15
    holdout_share: float = 0.15
    search_trials: int = 0
    positive_weight: float = 1.0
    learning_rate: float = 0.1
    max_depth: int = 3
    num_leaves: int = 8
    max_bin: int = 1023
    rounds_max: int = 600
    rounds_patience: int = 50
    review_share: float = 0.01
    decline_precision_min: float = 0.95
    review_cost_minor: int = 500

    def candidates(self) -> list[dict[str, Any]]:
        """Return the parameters to try: these, then `search_trials` others near them."""
        own = self.parameters()
        return [own, *[own | other for other in NEARBY[: self.search_trials]]]

    def parameters(self) -> dict[str, Any]:
        """Return LightGBM's parameters."""
        return {
            "objective": "binary", "metric": "average_precision", "verbosity": -1,
            "boost_from_average": False, "min_child_samples": 1, "min_child_weight": 1.0,
            "learning_rate": self.learning_rate, "max_depth": self.max_depth, "num_leaves": self.num_leaves,
            "max_bin": self.max_bin, "seed": self.seed, "num_threads": 1, "deterministic": True,
            "force_row_wise": True, "scale_pos_weight": self.positive_weight,
        }  # fmt: skip
