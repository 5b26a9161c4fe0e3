"""What an operator may set on the learner; read once, from the environment, by `headrace`.

All lengths are of event time: the clock on the wall decides nothing here but how long to wait for records.
"""

from pathlib import Path
from typing import Literal

import msgspec

from contracts.connections import KafkaConnection
from contracts.errors import ConfigError
from contracts.topics import PARTITIONS
from features.definition import DAY_MS
from inference.drift.settings import DriftSettings

HOUR_MS = 3_600_000


class FairnessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which segments are watched, and from where on a difference is an alert.

    `segments` are of channel, country and amount_band, comma between; bands end at `amount_bands_minor`.
    An alert needs `rows_min` events (for a rate of errors: events whose label is known and of the class
    that the rate is of) and a difference that chance gives with at most `chance_max`.
    """

    segments: str = "channel,country,amount_band"
    amount_bands_minor: str = "1000,5000,20000"
    window_days: int = 28
    impact_min: float = 0.8  # the four-fifths rule (US EEOC Uniform Guidelines, 1978)
    error_ratio_max: float = 2.0
    rows_min: int = 200
    chance_max: float = 0.001

    @property
    def segment_columns(self) -> tuple[str, ...]:
        """Return the declared columns.

        Raises:
            ConfigError: E_FAIRNESS_SEGMENT, one that is not there.
        """
        names = tuple(name.strip() for name in self.segments.split(",") if name.strip())
        for name in names:
            if name not in ("channel", "country", "amount_band"):
                raise ConfigError(
                    "E_FAIRNESS_SEGMENT", f"{name!r} is no segment", "HEADRACE_FAIRNESS_SEGMENTS",
                    "choose of channel, country, amount_band",
                )  # fmt: skip
        return names

    @property
    def bands_minor(self) -> tuple[int, ...]:
        """Return where amount bands end, ascending.

        Raises:
            ConfigError: E_FAIRNESS_BANDS.
        """
        try:
            bands = tuple(int(text) for text in self.amount_bands_minor.split(",") if text.strip())
        except ValueError:
            bands = (0, 0)
        if list(bands) != sorted(set(bands)):
            raise ConfigError(
                "E_FAIRNESS_BANDS", f"{self.amount_bands_minor!r} are no ascending whole numbers",
                "HEADRACE_FAIRNESS_AMOUNT_BANDS_MINOR", "give minor units, as 1000,5000,20000",
            )  # fmt: skip
        return bands


class RetrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The declared policy of training again: what fires, how often at most, and who promotes.

    A trigger at 0 is off. Drift fires when an alert of the topic `drift` moved a mean by `drift_ratio` of
    what it was, or tells a divergence as large; quality when average precision over `quality_window_days`
    is `quality_drop_ratio` below the best such window of the same model, `quality_reports` times in a row
    with `positives_min` positives known; labels when those known since the training are `new_labels_ratio` of
    those it had; age and schedule by days. A training starts at most once in `cooldown_days`, and `settle_s`
    (of the clock on the wall) after its trigger, so that the archive has written what the learner has read.
    """

    drift_ratio: float = 0.10
    quality_drop_ratio: float = 0.05
    quality_window_days: int = 7
    quality_reports: int = 2
    new_labels_ratio: float = 0.20
    age_days: float = 45.0
    schedule_days: float = 0.0
    cooldown_days: float = 7.0
    positives_min: int = 30
    labels_min: int = 1000
    start_training: bool = True
    settle_s: float = 30.0
    promote: Literal["person", "policy"] = "person"
    promote_gain_min: float = 0.0


class LearnerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The learner of a run.

    `maturity_days` is how long labels take: a window ends that long before the moment it is told of.
    `wait_days` is how long a label waits for its event. `sample_permille` keeps that share of events,
    chosen by their id, where all of them would not fit into memory (about 150 bytes each).
    """

    kafka: KafkaConnection
    models: Path
    lake: Path | None = None
    topic_prefix: str = ""
    epoch: int = 0
    partitions: int = PARTITIONS
    folder: Path | None = None
    windows_days: str = "1,7,28"
    maturity_days: float = 7.0
    report_hours: int = 24
    grace_hours: float = 1.0
    wait_days: float = 7.0
    horizon_days: float = 0.0
    sample_permille: int = 1000
    stratum_labels_min: int = 30
    review_cost_minor: int = 500
    snapshot_reports: int = 7
    fairness: FairnessSettings = FairnessSettings()
    retrain: RetrainSettings = RetrainSettings()
    drift: DriftSettings = DriftSettings()
    poll_ms: float = 500.0
    records_a_poll: int = 5000
    transaction_timeout_ms: int = 30_000
    metrics_port: int = 0
    log_level: str = "info"

    @property
    def group(self) -> str:
        """Name of the run's learner towards the broker."""
        return f"{self.topic_prefix}learner"

    @property
    def windows(self) -> tuple[int, ...]:
        """Return the windows' lengths in days, ascending.

        Raises:
            ConfigError: E_LEARNER_WINDOWS.
        """
        words = [word.strip() for word in self.windows_days.split(",")]
        if not all(word.isdecimal() and int(word) for word in words):
            raise ConfigError(
                "E_LEARNER_WINDOWS", f"{self.windows_days!r} are no whole days",
                "HEADRACE_LEARNER_WINDOWS_DAYS",
                "give days, as 1,7,28",
            )  # fmt: skip
        return tuple(sorted({int(word) for word in words}))

    @property
    def step_ms(self) -> int:
        """Return the event time between two reports."""
        return self.report_hours * HOUR_MS

    @property
    def maturity_ms(self) -> int:
        """Return how long labels take."""
        return int(self.maturity_days * DAY_MS)

    @property
    def wait_ms(self) -> int:
        """Return how long a label waits for its event."""
        return int(self.wait_days * DAY_MS)

    @property
    def horizon_ms(self) -> int:
        """Return how far back events are kept: all that a window can hold, and a week for late records."""
        longest = max(*self.windows, self.fairness.window_days, self.retrain.quality_window_days)
        needed = longest * DAY_MS + self.maturity_ms + 7 * DAY_MS
        return max(needed, int(self.horizon_days * DAY_MS))
