"""How a feature is declared: entity, view, window, feature. Everything else is made from these."""

import hashlib
from typing import Literal

import msgspec

from contracts.errors import ConfigError
from contracts.frame import Kind
from features.aggregations import Aggregation, Distinct, Last

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_HOPS_MS = tuple(
    sorted(
        [m * MINUTE_MS for m in (1, 5, 10, 30)] + [h * HOUR_MS for h in (1, 2, 6, 12)] + [DAY_MS, 2 * DAY_MS]
    )
)

Items = Literal["none", "distinct", "replace"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A sawtooth window: its head is exact to the event, its tail moves in hops.

    A row of time ts is in the window at t when floor((t - length_ms) / hop_ms) * hop_ms <= ts <= t.

    >>> Window.of(hours=1)
    Window(label='1h', length_ms=3600000, hop_ms=300000)
    >>> Window.of(hours=1).begin_ms(7_500_000)
    3900000
    """

    label: str
    length_ms: int
    hop_ms: int

    @classmethod
    def of(cls, *, minutes: int = 0, hours: int = 0, days: int = 0, hop_ms: int = 0) -> "Window":
        """Return a window of that length; its hop is at most a twelfth of it unless one is given.

        Raises:
            ConfigError: E_WINDOW_LENGTH or E_WINDOW_HOP.
        """
        length_ms = minutes * MINUTE_MS + hours * HOUR_MS + days * DAY_MS
        label = "".join(f"{n}{u}" for n, u in ((days, "d"), (hours, "h"), (minutes, "m")) if n)
        if length_ms <= 0:
            raise ConfigError("E_WINDOW_LENGTH", f"a window of {length_ms} ms", label, "give it a length")
        hop = hop_ms or max([h for h in _HOPS_MS if h * 12 <= length_ms], default=length_ms // 12)
        if not 0 < hop <= length_ms:
            raise ConfigError("E_WINDOW_HOP", f"a hop of {hop} ms", label, "give a hop within the window")
        return cls(label=label, length_ms=length_ms, hop_ms=hop)

    def begin_ms(self, at_ms: int) -> int:
        """Return the earliest event time that is in the window at `at_ms`."""
        return (at_ms - self.length_ms) // self.hop_ms * self.hop_ms


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One number a key: an aggregation over a window.

    `current` says whether the row being judged counts itself ("as of e" includes e).
    """

    name: str
    aggregation: Aggregation
    window: Window | None = None
    current: bool = True


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Features that one kind of row feeds: a feature view of the online store.

    Args:
        rows: the kind of row that is folded in; rows of other kinds only move the key's clock.
        measure: the column that is aggregated (an integer, not negative).
        time: the column of the time at which a row counts.
        items: "distinct" keeps a sketch of `item`; "replace" lets a later row of the same `item` replace
            the earlier one's value in the tile that held it.
    """

    name: str
    rows: Kind
    measure: str
    time: str
    features: tuple[Feature, ...]
    item: str = ""
    items: Items = "none"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features, in stored order."""
        return tuple(feature.name for feature in self.features)

    @property
    def windows(self) -> tuple[Window, ...]:
        """Different windows, shortest first."""
        found = {f.window for f in self.features if f.window is not None}
        return tuple(sorted(found, key=lambda w: (w.length_ms, w.hop_ms)))

    def __post_init__(self) -> None:
        for feature in self.features:
            timed = isinstance(feature.aggregation, Last)
            if timed == (feature.window is not None):
                raise ConfigError(
                    "E_FEATURE_WINDOW", "a window is for all but last and time since last", feature.name,
                    "give it a window" if not timed else "take its window away",
                )  # fmt: skip
            if isinstance(feature.aggregation, Distinct) and (
                self.items != "distinct" or not feature.current
            ):
                raise ConfigError(
                    "E_FEATURE_DISTINCT", "a distinct count needs items='distinct' and the current row",
                    feature.name, "declare the view's item",
                )  # fmt: skip


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose features they are: a join key and the views that one stage keeps for it."""

    name: str
    join_key: str
    views: tuple[View, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all features of the entity, view after view."""
        return tuple(name for view in self.views for name in view.columns)

    @property
    def longest_ms(self) -> int:
        """The longest window of any view."""
        return max(window.length_ms for view in self.views for window in view.windows)


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """Features computed from the lake and put into the online store by `feast materialize`."""

    name: str
    join_key: str
    columns: tuple[str, ...]
    max_age_ms: int


def definitions_hash(*declarations: object) -> str:
    """Return 16 hex digits that change whenever a declaration does."""
    text = msgspec.json.encode([_plain(d) for d in declarations], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, Aggregation):
        return value.name
    if isinstance(value, msgspec.Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
