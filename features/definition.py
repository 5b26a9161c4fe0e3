"""How a feature is declared: entity, view, window, feature. Everything else is made from these."""

import hashlib
import re
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import structs

from contracts.errors import ConfigError
from features.aggregations import Aggregation, Distinct, Kept
from features.expressions import Tree, Type, text, tree_of
from features.expressions.build import Operand
from features.expressions.text import LANGUAGE

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_HOPS_MS = tuple(
    sorted(
        [m * MINUTE_MS for m in (1, 5, 10, 30)] + [h * HOUR_MS for h in (1, 2, 6, 12)] + [DAY_MS, 2 * DAY_MS]
    )
)

Items = Literal["none", "distinct", "replace"]
STATE_RULES = 2  # of forgetting, doubting and replacing rows; grows when what state comes to changes
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
        return structs.replace(self, label=f"{self.label}_delay_{label}", kind="delayed", delay_ms=delay_ms)

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

    Args:
        current: whether the row being judged counts itself ("as of e" includes e).
        measure: the column that is aggregated, where it is not the view's.
        item: the column, or several joined by "+", by which items are told apart, where it is not the view's.
        condition: aggregated in place of a measure: 1 where it holds, 0 elsewhere.
    """

    name: str
    aggregation: Aggregation
    window: Window | None = None
    current: bool = True
    measure: str = ""
    item: str = ""
    condition: Tree | None = None

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
    """Features that the rows of one source feed: a feature view of the online store.

    Args:
        rows: the number of the source whose rows are folded in; rows of others only move the key's clock.
        source: its name; definitions name it by this, so that its number may change.
        where: which of its rows are folded in; those for which it is false or null only move the clock.
        measure: the column that features aggregate which name none themselves (a whole number).
        time: the column of the time at which a row counts.
        item: the column by which items are told apart where features name none, or several joined by "+".
        items: "distinct" keeps a sketch of items; "replace" lets a row of the same `item` replace the
            earlier one's value in the tile that held it, unless it is of an earlier time.
        types: of the columns that are read; one that is not named is never null, and is a text where it is an
            item and else a whole number.
        beside: features of the same view that are kept apart from these (`features.view_groups`): with these
            they decide how long rows are kept.

    Raises:
        ConfigError: E_FEATURE_WINDOW, E_FEATURE_KIND, E_FEATURE_CURRENT, E_FEATURE_DISTINCT, E_FEATURE_ITEM,
            E_FEATURE_REPLACE, E_FEATURE_NAME or E_VIEW_HORIZON: a combination that has no meaning or no
            bounded state.
    """

    name: str
    rows: int
    time: str
    features: tuple[Feature, ...]
    source: str = ""
    where: Tree | None = None
    measure: str = ""
    item: str = ""
    items: Items = "none"
    types: tuple[tuple[str, Type], ...] = ()
    beside: tuple[Feature, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of all features, in stored order."""
        return tuple(name for feature in self.features for name in feature.columns)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the columns of its source's rows that it reads, its time first."""
        found = [self.time, *(self.where.inputs() if self.where else ())]
        for feature in self.features:
            if feature.condition is not None:
                found += feature.condition.inputs()
            found += [self.measure_of(feature), *self.item_of(feature).split("+")]
        if self.items == "replace":
            found += self.item.split("+")
        return tuple(dict.fromkeys(name for name in found if name))

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
        return max(feature.reach_ms for feature in (*self.features, *self.beside))

    def measure_of(self, feature: Feature) -> str:
        """Return the column that a feature aggregates; empty for a condition, an item or plain rows."""
        if feature.aggregation.of_item or feature.aggregation.of_rows or feature.condition is not None:
            return ""
        return feature.measure or self.measure

    def item_of(self, feature: Feature) -> str:
        """Return the columns by which a feature tells items apart, joined by "+"; empty for none."""
        return (feature.item or self.item) if feature.aggregation.of_item else ""

    def unit_of(self, feature: Feature) -> float:
        """Return by what a feature's values are divided as they leave: 10 ** scale of a decimal, else 1."""
        kind = dict(self.types).get(self.measure_of(feature))
        return float(10**kind.scale) if kind is not None else 1.0

    @property
    def in_full(self) -> "View":
        """The same view, each feature of which names what it is of: what its definitions hash is made of."""
        named = [structs.replace(f, measure=self.measure_of(f), item=self.item_of(f)) for f in self.features]
        item = self.item if self.items == "replace" else ""
        types = tuple(
            sorted((pair for pair in self.types if pair[0] in self.reads), key=lambda pair: pair[0])
        )
        return structs.replace(self, features=tuple(named), measure="", item=item, types=types)

    def __post_init__(self) -> None:
        for feature in self.features:
            check_feature(feature, feature.item or self.item, self.items)
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


def check_feature(feature: Feature, item: str, items: Items) -> None:
    """Refuse what has no meaning, or no bounded state, in a view of that item.

    Raises:
        ConfigError: E_FEATURE_WINDOW, E_FEATURE_KIND, E_FEATURE_CURRENT, E_FEATURE_DISTINCT, E_FEATURE_ITEM
            or E_FEATURE_REPLACE.
    """
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
    if aggregation.of_before and feature.current:
        raise ConfigError(
            "E_FEATURE_CURRENT", f"{aggregation.name} compares a row with those before it", feature.name,
            "declare it with current=False",
        )  # fmt: skip
    _check_items(feature, item, items)


def _check_items(feature: Feature, item: str, items: Items) -> None:
    """Refuse what the view's item cannot give."""
    aggregation, window = feature.aggregation, feature.window
    if isinstance(aggregation, Distinct) and (items != "distinct" or not feature.current):
        raise ConfigError(
            "E_FEATURE_DISTINCT", "a distinct count needs items='distinct' and the current row",
            feature.name, "declare the view's item",
        )  # fmt: skip
    if aggregation.of_item and not item:
        raise ConfigError(
            "E_FEATURE_ITEM", f"{aggregation.name} is of a view's item", feature.name, "declare the item"
        )
    replaceable = window is not None and window.kind == "sawtooth" and aggregation.replaces
    if items == "replace" and not replaceable:
        raise ConfigError(
            "E_FEATURE_REPLACE", f"{aggregation.name} cannot take back a replaced value", feature.name,
            "where rows replace others, keep count, sum or mean over Window.of(...)",
        )  # fmt: skip


class EntitySource(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose rows an entity folds or is asked about: its number, name and column of time."""

    number: int
    name: str
    time: str


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose features they are: a join key and the views that one stage keeps for it.

    `sources` are those whose rows move a key's clock and are answered, whether a view reads them or not: the
    scored one, and those of the views. Where none are named, they are those of the views.
    """

    name: str
    join_key: str
    views: tuple[View, ...]
    sources: tuple[EntitySource, ...] = ()

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

    @property
    def times(self) -> dict[int, str]:
        """The column of the time at which a row of each source counts, by the source's number."""
        named = {source.number: source.time for source in self.sources}
        return {view.rows: view.time for view in self.views} | named


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """Features computed from the lake by SQL and put into the online store by `feast materialize`.

    `statements` are the SQL texts in the order in which they run, without comments and with single spaces:
    they are part of the view's hash, so that a model is never served what another text computed.
    """

    name: str
    join_key: str
    columns: tuple[str, ...]
    max_age_ms: int
    statements: tuple[str, ...] = ()


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that nothing keeps: a formula over others, computed when an event is judged.

    What it reads, what it means (its hash), how pages show it and how the oracle checks it, all come from
    the tree.

    >>> from features.expressions import col
    >>> computed(share=col("bad") / col("rows"))[0].tree.inputs()
    ('bad', 'rows')
    """

    name: str
    tree: Tree


def computed(**formulas: Operand) -> tuple[Computed, ...]:
    """Return computed features by name, in the order in which they are written."""
    return tuple(Computed(name=name, tree=tree_of(formula)) for name, formula in formulas.items())


def statements_of(sql: str) -> tuple[str, ...]:
    """Return the statements of an SQL text, with comments taken out and white space made single.

    No statement may hold a semicolon or two dashes inside quotes.

    >>> statements_of("select 1;  select   2;")
    ('select 1', 'select 2')
    """
    without_comments = re.sub(r"--[^\n]*", "", sql)
    return tuple(" ".join(part.split()) for part in without_comments.split(";") if part.strip())


def definitions_hash(*declarations: object) -> str:
    """Return 16 hex digits that change whenever a declaration does."""
    text = msgspec.json.encode([_plain(d) for d in declarations], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


_SAWTOOTH = (("kind", "sawtooth"), ("delay_ms", 0), ("rows", 0))
_LEFT_OUT = {"Entity": ("sources",), "View": ("beside",)}  # what changes no value of what is kept


def _plain(value: object) -> object:
    if isinstance(value, Aggregation):
        return value.name
    if isinstance(value, Tree):
        return [LANGUAGE, text(value)]
    if isinstance(value, Type):
        return [value.kind, value.scale, value.nullable]
    if isinstance(value, Window):  # what came later is left out where it says nothing
        plain = msgspec.to_builtins(value)
        return {k: v for k, v in plain.items() if (k, v) not in _SAWTOOTH}
    if isinstance(value, View):
        value = value.in_full
    if isinstance(value, msgspec.Struct):
        out = set(_LEFT_OUT.get(type(value).__name__, ()))
        if isinstance(value, View) and value.source:
            out.add("rows")
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__ if field not in out}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return [[name, _plain(item)] for name, item in value.items()]
    return value
