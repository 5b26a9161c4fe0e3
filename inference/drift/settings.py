"""What may be chosen about drift; read once, from the environment, by `headrace`.

The defaults were chosen from the evaluation in docs/drift.md (`headrace bench run drift`).
"""

import msgspec

from contracts.errors import ConfigError

HOUR_MS = 3_600_000
DETECTORS = ("adwin", "page_hinkley", "kswin", "ddm", "eddm", "hddm_a", "hddm_w")
BINARY = ("ddm", "eddm", "hddm_a", "hddm_w")  # for 0 and 1 alone
_SIZES = (
    "sample_every",
    "chunk_rows",
    "window_ms",
    "pane_ms",
    "rows_min",
    "look_rows",
    "first_rows",
    "first_ms",
)
STATISTICS = ("psi", "ks", "chi2", "kl", "js")


class DriftSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the scorer and the learner watch for change.

    Every `sample_every`-th row of a partition, in log order, is looked at, in chunks of `chunk_rows`. Means
    of `watched` features (the project's where it is empty) and of the score are watched by the detectors of
    `numbers`; the shares of null values, of decisions but the mildest and of errors by those of `shares`.
    All features' distributions over the last `window_ms` of event time, kept in panes of `pane_ms`, are held
    against the training baseline by the `statistics`, each `look_rows` sampled rows; a window reaches further
    back where it would hold fewer than `rows_min`. Lists are separated by commas.

    A statistic alarms from `effect_min` on (as PSI; the others' limits are equivalent, see
    `inference.drift.statistics`), a null share from `null_share_min` away from what is expected, and neither
    before chance explains it only with a probability of `chance_max`. An alert is not repeated within
    `cooldown_ms` of event time, and while it stands each wait is twice the last. Without a baseline the
    first `first_rows` sampled rows are the reference.

    >>> DriftSettings(statistics="psy")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    contracts.errors.ConfigError: E_CONFIG_VALUE: 'psy' is none of psi, ks, chi2, kl, js ...
    """

    sample_every: int = 4
    chunk_rows: int = 256
    watched: str = ""
    numbers: str = "adwin"
    shares: str = "adwin"
    statistics: str = "psi"
    window_ms: int = 24 * HOUR_MS
    pane_ms: int = 2 * HOUR_MS
    rows_min: int = 1000
    look_rows: int = 512
    first_rows: int = 2000
    first_ms: int = 7 * 24 * HOUR_MS
    effect_min: float = 0.05
    null_share_min: float = 0.03
    chance_max: float = 1e-6
    cooldown_ms: int = 24 * HOUR_MS
    incident_ms: int = 72 * HOUR_MS

    def __post_init__(self) -> None:
        for name, known in (("numbers", DETECTORS), ("shares", DETECTORS), ("statistics", STATISTICS)):
            for word in words(getattr(self, name)):
                if word not in known:
                    raise _refused(name, f"{word!r} is none of {', '.join(known)}")
        for word in words(self.numbers):
            if word in BINARY:
                raise _refused("numbers", f"{word} is for 0 and 1 alone")
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise _refused(name, f"must be at least 1, not {getattr(self, name)}")
        if not 0 < self.chance_max < 1:
            raise _refused("chance_max", f"must lie between 0 and 1, not {self.chance_max}")


def words(text: str) -> tuple[str, ...]:
    """Return the names in a list that commas separate.

    >>> words("psi, ks")
    ('psi', 'ks')
    """
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _refused(name: str, what: str) -> ConfigError:
    return ConfigError("E_CONFIG_VALUE", what, f"HEADRACE_DRIFT_{name.upper()}", "see docs/drift.md")
