"""How a feature is declared: entity, view, window, feature. Everything else is made from these."""

import hashlib
from typing import Literal

import msgspec

from contracts.errors import ConfigError
from contracts.frame import Kind
from features.aggregations import Aggregation, Distinct, Kept

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_HOPS_MS = tuple(
    sorted(
        [m * MINUTE_MS for m in (1, 5, 10, 30)] + [h * HOUR_MS for h in (1, 2, 6, 12)] + [DAY_MS, 2 * DAY_MS]
    )
)

Items = Literal["none", "distinct", "replace"]
FOREVER_MS = 2**62  # longer than any time there is, and safe to take from one
ROWS_MAX = 64  # of a last-N window, and columns of a last-k


class Window(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """Which rows of a key count at a moment t. `length_ms` and `hop_ms` by kind:

    - sawtooth: its head is exact to the event, its tail moves in hops. A row of time ts is in it when
      floor((t - length_ms) / hop_ms) * hop_ms <= ts <= t.
    - delayed: a sawtooth window that ended `delay_ms` ago; both ends move in hops. A row is in it when
      floor((t - delay_ms - length_ms) / hop_ms) * hop_ms <= ts < floor((t - delay_ms) / hop_ms) * hop_ms.
    - lifetime: every row there was; the key is never forgotten. One tile that never ends.
    - session: the rows up to the newest one of which none is more than `length_ms` from the next; empty
      once t is more than `length_ms` past the newest. See `features.session_part` for late rows.
    - last: the newest `rows` rows by event time (of equals the later in the log), none of them older than
      the longest window of the view.

    >>> Window.of(hours=1)
    Window(label='1h', length_ms=3600000, hop_ms=300000)
    >>> Window.of(hours=1).begin_ms(7_500_000)
    3900000
    >>> [w.label for w in (Window.of(days=7).delayed(days=7), Window.session(minutes=30), Window.last(10))]
    ['7d_delay_7d', 'session_30m', 'last_10']
    """

    label: str
    length_ms: int
    hop_ms: int
    kind: Kept = "sawtooth"
    delay_ms: int = 0
    rows: int = 0

    @classmethod
    def of(cls, *, minutes: int = 0, hours: int = 0, days: int = 0, hop_ms: int = 0) -> "Window":
        """Return a window of that length; its hop is at most a twelfth of it unless one is given.

        Raises:
            ConfigError: E_WINDOW_LENGTH or E_WINDOW_HOP.
        """
        length_ms, label = _length(minutes, hours, days)
        hop = hop_ms or max([h for h in _HOPS_MS if h * 12 <= length_ms], default=length_ms // 12)
        if not 0 < hop <= length_ms:
            raise ConfigError("E_WINDOW_HOP", f"a hop of {hop} ms", label, "give a hop within the window")
        return cls(label=label, length_ms=length_ms, hop_ms=hop)

    @classmethod
    def lifetime(cls) -> "Window":
        """Return the window of all rows a key ever had."""
        return cls(label="lifetime", length_ms=FOREVER_MS, hop_ms=FOREVER_MS, kind="lifetime")

    @classmethod
    def session(cls, *, minutes: int = 0, hours: int = 0, days: int = 0) -> "Window":
        """Return the window of the running session, which ends when nothing came for that long.

        Raises:
            ConfigError: E_WINDOW_LENGTH.
        """
        gap_ms, label = _length(minutes, hours, days)
        return cls(label=f"session_{label}", length_ms=gap_ms, hop_ms=0, kind="session")

    @classmethod
    def last(cls, rows: int) -> "Window":
        """Return the window of the newest `rows` rows.

        Raises:
            ConfigError: E_WINDOW_ROWS.
        """
        if not 1 <= rows <= ROWS_MAX:
            raise ConfigError(
                "E_WINDOW_ROWS", f"a window of {rows} rows", "last", f"give it 1 to {ROWS_MAX} rows"
            )
        return cls(label=f"last_{rows}", length_ms=0, hop_ms=0, kind="last", rows=rows)

    def delayed(self, *, minutes: int = 0, hours: int = 0, days: int = 0) -> "Window":
        """Return the same window as it was that long ago.

        Raises:
            ConfigError: E_WINDOW_LENGTH, or E_WINDOW_DELAY when this is no sawtooth window.
        """
        delay_ms, label = _length(minutes, hours, days)
        if self.kind != "sawtooth":
            raise ConfigError(
                "E_WINDOW_DELAY",
                f"a {self.kind} window cannot be delayed",
                self.label,
                "delay Window.of(...)",
            )
        return msgspec.structs.replace(
            self, label=f"{self.label}_delay_{label}", kind="delayed", delay_ms=delay_ms
        )

    def begin_ms(self, at_ms: int) -> int:
        """Return the earliest event time that is in a window of tiles at `at_ms`."""
        return (at_ms - self.delay_ms - self.length_ms) // self.hop_ms * self.hop_ms

    @property
    def reach_ms(self) -> int:
        """How long after its event time a row may still count (but for the hop of a tail).

        Twice the gap of a session: so long a late row may still join two of them.
        """
        return 2 * self.length_ms if self.kind == "session" else self.length_ms + self.delay_ms


def _length(minutes: int, hours: int, days: int) -> tuple[int, str]:
    length_ms = minutes * MINUTE_MS + hours * HOUR_MS + days * DAY_MS
    label = "".join(f"{n}{u}" for n, u in ((days, "d"), (hours, "h"), (minutes, "m")) if n)
    if length_ms <= 0:
        raise ConfigError("E_WINDOW_LENGTH", f"a window of {length_ms} ms", label, "give it a length")
    return length_ms, label


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """What an aggregation says of a key over a window: one column, or k for the last k values.

    `current` says whether the row being judged counts itself ("as of e" includes e).
    """

    name: str
    aggregation: Aggregation
    window: Window | None = None
    current: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns: its own name, or name_1 (the newest) to name_k."""
        width = self.aggregation.width
        return (self.name,) if width == 0 else tuple(f"{self.name}_{i + 1}" for i in range(width))

    @property
    def in_tiles(self) -> bool:
        """Whether it is kept in the sawtooth tiles that every view has, or beside them."""
        return self.window is not None and self.window.kind == "sawtooth" and self.aggregation.in_tiles

    @property
    def reach_ms(self) -> int:
        """How long after its event time a row may still count; 0 where the view's longest decides."""
        return max(self.aggregation.reach_ms, self.window.reach_ms if self.window else 0)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Features that one kind of row feeds: a feature view of the online store.

    Args:
        rows: the kind of row that is folded in; rows of other kinds only move the key's clock.
        measure: the column that is aggregated (an integer, not negative).
        time: the column of the time at which a row counts.
        items: "distinct" keeps a sketch of `item`; "replace" lets a later row of the same `item` replace
            the earlier one's value in the tile that held it.

    Raises:
        ConfigError: E_FEATURE_WINDOW, E_FEATURE_KIND, E_FEATURE_DISTINCT, E_FEATURE_ITEM, E_FEATURE_REPLACE,
            E_FEATURE_NAME or E_VIEW_HORIZON: a combination that has no meaning or no bounded state.
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
        """Names of the columns of all features, in stored order."""
        return tuple(name for feature in self.features for name in feature.columns)

    @property
    def windows(self) -> tuple[Window, ...]:
        """Different windows, shortest first."""
        found = {f.window for f in self.features if f.window is not None}
        return tuple(sorted(found, key=lambda w: (w.length_ms, w.hop_ms, w.label)))

    @property
    def longest_ms(self) -> int:
        """The longest time after which a row may still count; FOREVER_MS with a lifetime feature.

        Past it `last` and its like are null, and a key without newer rows may be forgotten.
        """
        return max(feature.reach_ms for feature in self.features)

    def __post_init__(self) -> None:
        for feature in self.features:
            _check_feature(self, feature)
        doubles = {name for name in self.columns if self.columns.count(name) > 1}
        if doubles:
            raise ConfigError(
                "E_FEATURE_NAME", "two columns of one name", f"{self.name}: {min(doubles)}", "rename one"
            )
        if self.longest_ms == 0:
            raise ConfigError(
                "E_VIEW_HORIZON", "nothing says when a row may be forgotten", self.name,
                "give the view a feature over a length of time, or over the lifetime",
            )  # fmt: skip


def _check_feature(view: View, feature: Feature) -> None:
    """Refuse what has no meaning, or no bounded state."""
    aggregation, window = feature.aggregation, feature.window
    kinds = aggregation.kept_over
    if (window is None and None not in kinds) or (window is not None and kinds == {None}):
        what, advice = ("has no", "take its window away") if window else ("needs a", "give it a window")
        raise ConfigError("E_FEATURE_WINDOW", f"{aggregation.name} {what} window", feature.name, advice)
    if window is not None and window.kind not in kinds:
        allowed = ", ".join(sorted(kind for kind in kinds if kind))
        raise ConfigError(
            "E_FEATURE_KIND", f"{aggregation.name} is not kept over a {window.kind} window", feature.name,
            f"choose one of: {allowed}",
        )  # fmt: skip
    _check_items(view, feature)


def _check_items(view: View, feature: Feature) -> None:
    """Refuse what the view's item cannot give."""
    aggregation, window = feature.aggregation, feature.window
    if isinstance(aggregation, Distinct) and (view.items != "distinct" or not feature.current):
        raise ConfigError(
            "E_FEATURE_DISTINCT", "a distinct count needs items='distinct' and the current row",
            feature.name, "declare the view's item",
        )  # fmt: skip
    if aggregation.of_item and not view.item:
        raise ConfigError(
            "E_FEATURE_ITEM", f"{aggregation.name} is of a view's item", feature.name, "declare the item"
        )
    replaceable = window is not None and window.kind == "sawtooth" and aggregation.replaces
    if view.items == "replace" and not replaceable:
        raise ConfigError(
            "E_FEATURE_REPLACE", f"{aggregation.name} cannot take back a replaced value", feature.name,
            "where rows replace others, keep count, sum or mean over Window.of(...)",
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
        """The longest window of any view; FOREVER_MS when a view has a lifetime feature."""
        return max(view.longest_ms for view in self.views)

    @property
    def lasting(self) -> bool:
        """Whether a lifetime feature keeps its keys for ever."""
        return self.longest_ms == FOREVER_MS


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


_SAWTOOTH = (("kind", "sawtooth"), ("delay_ms", 0), ("rows", 0))


def _plain(value: object) -> object:
    if isinstance(value, Aggregation):
        return value.name
    if isinstance(value, Window):  # what came later is left out where it says nothing
        plain = msgspec.to_builtins(value)
        return {k: v for k, v in plain.items() if (k, v) not in _SAWTOOTH}
    if isinstance(value, msgspec.Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
