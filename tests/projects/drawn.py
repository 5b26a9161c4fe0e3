"""A project drawn from a seed: its files as a user writes them, and the same told to the oracle as data."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from load.oracle.dump import Declared, RuleText, SourceText
from tests.projects.fields import ID, Common, Field, common, fields_of
from tests.projects.told import DAY, HOUR, Asked, Typed, ViewOf, columns_of, told_view, written

CONDITIONS = (
    ("col('tries') > 500", "tries > 500"), ("col('shop') == 's1'", "shop == 's1'"),
    ("~(col('balance') < 0)", "not (balance < 0)"),
    ("(col('price') >= 0.5) | col('trusted')", "price >= 0.5 or trusted"),
    ("col('outcome').is_in(['bad'])", "outcome in ('bad')"), ("col('shop').is_null()", "shop is null"),
    ("col('trusted') & ~(col('shop') != 's2')", "trusted and not (shop != 's2')"),
    ("hour(col('at')) >= 4", "hour(at) >= 4"), ("col('balance') + col('tries') > 20", "balance + tries > 20"),
    ("coalesce(col('balance'), 0) * 2 < col('tries')", "coalesce(balance, 0) * 2 < tries"),
)  # fmt: skip
KEYS_OF = (
    ("account",), ("device",), ("ip",), ("site",), ("account", "site"), ("device", "ip"), ("ip", "account"),
)  # fmt: skip
MEASURES, ITEMS = ("tries", "balance", "price", "trusted"), ("shop", "outcome", "tries", "price", "trusted")
FUNCTIONS = (
    "count", "sum", "mean", "std", "min", "max", "first", "last", "last_k", "quantile", "decayed_sum",
    "since_first", "since_last", "distinct", "top_share", "share", "same_as_last", "first_seen",
)  # fmt: skip
WINDOWED = ("10m 1h", "2h lifetime", "session_30m", "1h_delay_1h", "last_3 1h", "24h 7d")
DERIVED = (
    ("ratio(col({a!r}), col({b!r}))", "{a} / {b}"), ("log1p(abs(col({a!r})))", "log1p(abs({a}))"),
    ("coalesce(col({a!r}), col({b!r})) - 1", "coalesce({a}, {b}) - 1"),
    ("minimum(col({a!r}), col({b!r}), 7)", "min({a}, {b}, 7)"),
)  # fmt: skip
HORIZONS_MS = (0, 0, 1, HOUR, 5 * HOUR, 3 * DAY)
DECISIONS = ["allow", "challenge", "deny"]


class SourceOf(NamedTuple):
    """A source: name, role, fields, and whether its contract names the record's key."""

    name: str
    role: str
    fields: tuple[Field, ...]
    ids: tuple[str, ...]
    key_field: str = ""
    file: str = ""  # its contract, where it is not drawn
    deduplicate_ms: int = 0  # 0: the contract does not say

    @property
    def topic(self) -> str:
        """The topic of its records."""
        return self.name if self.file else f"{self.name}.raw"

    @property
    def time(self) -> str:
        """The field by which its rows count."""
        return "known_at" if self.role == "labels" else "at"

    @property
    def types(self) -> dict[str, Typed]:
        """The columns as conditions read them."""
        return {one.name: one.typed for one in self.fields}

    @property
    def contract(self) -> str:
        """Its contract's file."""
        if self.file:
            return self.file
        custom = [("eventTime", "at")] + [("knownAt", "known_at")] * (self.role == "labels")
        custom += [("keyField", self.key_field)] * bool(self.key_field)
        custom += [("deduplicateMs", str(self.deduplicate_ms))] * bool(self.deduplicate_ms)
        told = "".join(f"  - {{property: {name}, value: {value}}}\n" for name, value in custom)
        return (
            f'apiVersion: v3.1.0\nkind: DataContract\nid: {self.name}\nversion: "1.0.0"\n'
            f"customProperties:\n{told}schema:\n  - name: Record\n    physicalName: {self.topic}\n"
            "    properties:\n" + "".join(one.line for one in self.fields)
        )


class ModelOf(NamedTuple):
    """A model's inputs: fields and clock words of the event, views by name, derived as Python and text."""

    event: Sequence[str]
    views: Sequence[str]
    derived: Sequence[tuple[str, str, str]]


class Drawn(NamedTuple):
    """A project; sources in the engine's order, views in the order of the declarations."""

    name: str
    sources: tuple[SourceOf, ...]
    chain: tuple[tuple[str, tuple[str, ...]], ...]
    views: tuple[ViewOf, ...]
    model: ModelOf | None
    label: str = ""
    rules: tuple[tuple[str, str, str], ...] = ()  # id, severity, when
    positive: str = "outcome == 'bad'"  # which labels are
    challenge: float = 0.5  # the score from which it is decided so; it is denied from 0.9

    def write(self, folder: Path) -> Path:
        """Write its files into an empty folder; return the folder."""
        (folder / "contracts").mkdir(parents=True)
        for source in self.sources:
            (folder / "contracts" / f"{source.name}.yaml").write_text(source.contract)
        (folder / "features.py").write_text(self.features)
        if self.model is not None:
            (folder / "policy.yaml").write_text(self.policy)
        return folder

    @property
    def features(self) -> str:
        """The text of `features.py`."""
        scored = self.sources[0].name
        lines = ["from headrace import *", "", f"{scored} = Source('contracts/{scored}.yaml')"]
        for source in self.sources[1:]:
            more = f", labels={scored}, positive=col('outcome') == 'bad'" if source.role == "labels" else ""
            lines.append(f"{source.name} = Source('contracts/{source.name}.yaml'{more})")
        for name, fields in self.chain:
            lines.append(f"e_{name} = Entity({', '.join(map(repr, fields))})")
        for view in self.views:
            where = f", where={view.where[0]}" if view.where[0] else ""
            asked = ", ".join(map(written, view.asked))
            lines.append(
                f"{view.name} = view(e_{view.entity}, {view.source}, [{asked}]{where}, "
                f"name={view.name!r}, rows_max=1000)"
            )
        given = []
        if self.model is not None:
            derived = ", ".join(f"{name!r}: {python}" for name, python, _ in self.model.derived)
            given = ["m"]
            lines.append(
                f"m = Model('m', event={list(self.model.event)!r}, views=[{', '.join(self.model.views)}], "
                f"derived={{{derived}}}, label={self.label or None})"
            )
        chain = ", ".join(f"e_{name}" for name, _ in self.chain)
        rest = [view.name for view in self.views if self.model is None or view.name not in self.model.views]
        lines.append(
            f"project = Project({self.name!r}, scored={scored}, chain=[{chain}], "
            f"models=[{', '.join(given)}], "
            f"views=[{', '.join(rest)}])"
        )
        return "\n".join(lines) + "\n"

    @property
    def policy(self) -> str:
        """The text of `policy.yaml`."""
        rules = "".join(
            f"  {name}:\n    when: {when}\n    severity: {severity}\n    reason: It says so.\n"
            for name, severity, when in self.rules
        )
        return (
            'name: drawn\nversion: "1"\ndecisions:\n  - {name: allow}\n  - {name: challenge, queue: true}\n'
            f"  - {{name: deny, stops: true}}\nthresholds: {{challenge: {self.challenge}, deny: 0.9}}\n"
            "fallback: challenge\n" + ("rules:\n" + rules if rules else "")
        )

    def told(self, epoch: int, partitions: int, secret: bytes) -> Declared:
        """Return what the oracle is told, without a look at what the engine made of the files."""
        number = {source.name: at for at, source in enumerate(self.sources, 1)}
        by_name = {source.name: source for source in self.sources}
        entities = []
        for name, _ in self.chain:
            views = [view for view in self.views if view.entity == name]
            read = [s for s in self.sources if s is self.sources[0] or s.name in {v.source for v in views}]
            entities.append({
                "name": name, "join_key": "#key",
                "sources": [{"number": number[s.name], "time": s.time} for s in read],
                "views": [
                    told_view(v, number[v.source], by_name[v.source].time,
                              by_name[v.source].ids if by_name[v.source].role == "labels" else (),
                              by_name[v.source].types)
                    for v in views
                ],
            })  # fmt: skip
        model = self.model
        stored = [
            column for name, _ in self.chain for view in self.views
            if view.entity == name and (model is None or view.name in model.views)
            for column in columns_of(view)
        ]  # fmt: skip
        clock = {"hour_of_day": "hour(at)", "is_night": "hour(at) < 6", "is_weekend": "weekday(at) >= 5"}
        event = list(model.event) if model else []
        derived = {name: text for name, _, text in model.derived} if model else {}
        categories = {
            one.name: list(one.values)
            for one in self.sources[0].fields
            if one.name in event and one.kind == "text"
        }
        return Declared(
            epoch=epoch, project=self.name, partitions=partitions,
            sources=[
                SourceText(name=s.name, role=s.role, contracts=[s.contract],
                           positive=self.positive if s.role == "labels" else "")
                for s in self.sources
            ],
            chain=[(name, list(fields)) for name, fields in self.chain],
            secrets=[(0, secret.hex())], entities=entities, columns=[*event, *stored, *derived], profile=[],
            event_formulas={name: clock.get(name, name) for name in event}, formulas=derived,
            categories=categories,
            rules=[RuleText(name, severity, when) for name, severity, when in self.rules],
            decisions=DECISIONS if model else ["not_assessed"],
            thresholds={"challenge": self.challenge, "deny": 0.9} if model else None,
            fallback="challenge" if model else "not_assessed",
        )  # fmt: skip


def draw(seed: int) -> Drawn:
    """Draw the project of a seed."""
    rng = random.Random(f"project {seed}")
    of = common(rng)
    chain = tuple(
        ("_".join(fields), fields) for fields in rng.sample(KEYS_OF, rng.choice((1, 1, 2, 2, 3, 4, 5)))
    )
    used = {name for _, fields in chain for name in fields}
    sources = _sources(rng, of, used)
    views = _views(rng, chain, sources)
    model = _model(rng, sources[0], views) if rng.random() < 0.7 else None
    label = next((source.name for source in sources if source.role == "labels"), "") if model else ""
    label = label if rng.random() < 0.7 else ""
    rules = _rules(rng, model, views)
    drawn = Drawn(f"p{seed}", _remembering(seed, sources), chain, views, model, label, rules)
    return drawn._replace(sources=_in_order(drawn), views=_named_order(drawn))


def _sources(rng: random.Random, of: Common, used: set[str]) -> tuple[SourceOf, ...]:
    ids = rng.choice(((), ("id",), ("id",), ("id",), ("id", "part")))
    names = [("events", "scored")] + [(f"context{n}", "context") for n in range(rng.choice((0, 1, 1, 2)))]
    if ids:
        names += [(f"labels{n}", "labels") for n in range(rng.choice((0, 1, 1, 2)))]
    return tuple(_source(rng, of, used, name, role, ids) for name, role in names)


def _remembering(seed: int, sources: tuple[SourceOf, ...]) -> tuple[SourceOf, ...]:
    """Return the sources, some of whose contracts say for how long ids are remembered."""
    rng = random.Random(f"horizons {seed}")
    return tuple(source._replace(deduplicate_ms=rng.choice(HORIZONS_MS)) for source in sources)


def _source(
    rng: random.Random, of: Common, used: set[str], name: str, role: str, ids: tuple[str, ...]
) -> SourceOf:
    keys = set(used) if role == "scored" else {key for key in sorted(used) if rng.random() < 0.7}
    if not keys:
        keys = {min(used)}
    own = ids if role != "context" else rng.choice(((), ("id",)))
    fields = [
        Field("id", "text", True, ID + ", logicalTypeOptions: {minLength: 1, maxLength: 20}", never_null=True)
    ] * ("id" in own)
    fields += [
        Field(
            "part",
            "int",
            True,
            ", logicalType: integer, primaryKey: true, logicalTypeOptions: {minimum: 0, maximum: 9}",
            values=(1, 2),
            never_null=True,
        )
    ] * ("part" in own)
    fields += fields_of(rng, of, keys, role)
    plain = [
        one.name
        for one in fields
        if one.required and one.kind == "text" and not one.hashed and one.name in used
    ]
    key_field = rng.choice(plain) if plain and rng.random() < 0.5 else ""
    return SourceOf(name, role, tuple(fields), own, key_field)


def _views(
    rng: random.Random, chain: tuple[tuple[str, tuple[str, ...]], ...], sources: tuple[SourceOf, ...]
) -> tuple[ViewOf, ...]:
    pairs = []
    for name, fields in chain:
        able = [s for s in sources if set(fields) <= {one.name for one in s.fields}]
        pairs += [(name, source) for source in rng.sample(able, rng.randint(1, min(2, len(able))))]
    return tuple(_view(rng, f"v{at}", name, source) for at, (name, source) in enumerate(pairs))


def _view(rng: random.Random, name: str, entity: str, source: SourceOf) -> ViewOf:
    labels = source.role == "labels"
    asked = [_asked(rng, f"{name}_{at}", labels, source) for at in range(rng.randint(1, 4))]
    asked.append(Asked("count", f"{name}_n", before=rng.random() < 0.3))
    where = ("", "")
    if rng.random() < 0.5:
        where = ("col('outcome') != 'good'", "outcome != 'good'") if labels else rng.choice(CONDITIONS)
    return ViewOf(name, entity, source.name, tuple(asked), where)


def _asked(rng: random.Random, name: str, labels: bool, source: SourceOf) -> Asked:
    before = rng.random() < 0.4
    if labels:
        function = rng.choice(("count", "positives", "share"))
        return Asked(function, name, "10m 1h 24h", before=before and function != "positives")
    function = rng.choice(FUNCTIONS)
    field = rng.choice(("tries", "trusted") if function in ("quantile", "decayed_sum") else MEASURES)
    windows = rng.choice(WINDOWED)
    if function in ("quantile", "top_share", "first_seen"):
        windows = rng.choice(("10m 1h", "1h lifetime"))
    elif function == "distinct":
        windows = "10m 1h 2h"
    elif function == "first":
        windows = rng.choice(("1h", "lifetime"))
    elif function == "last":
        windows = rng.choice(("", "session_30m"))
    elif function in ("since_last", "last_k", "decayed_sum", "same_as_last"):
        windows = ""
    items = [*ITEMS, *(one.name for one in source.fields if one.hashed)]
    condition = rng.choice(CONDITIONS) if function == "share" else ("", "")
    if function in ("distinct", "same_as_last", "first_seen"):
        before = False
    return Asked(function, name, windows, field, rng.choice(items), before, condition)


def _model(rng: random.Random, scored: SourceOf, views: tuple[ViewOf, ...]) -> ModelOf:
    event = rng.sample(
        (
            "channel",
            "outcome",
            "tries",
            "balance",
            "price",
            "trusted",
            "hour_of_day",
            "is_night",
            "is_weekend",
        ),
        rng.randint(1, 4),
    )
    given = [view.name for view in views if rng.random() < 0.8] or [views[0].name]
    columns = [name for view in views if view.name in given for name in columns_of(view)]
    derived = []
    for at in range(rng.randint(0, 2)):
        python, text = rng.choice(DERIVED)
        names = {"a": rng.choice(columns), "b": rng.choice(columns)}
        derived.append((f"d{at}", python.format(**names), text.format(**names)))
    return ModelOf(event, given, derived)


def _rules(
    rng: random.Random, model: ModelOf | None, views: tuple[ViewOf, ...]
) -> tuple[tuple[str, str, str], ...]:
    if model is None or rng.random() < 0.4:
        return ()
    columns = [name for view in views if view.name in model.views for name in columns_of(view)]
    rules = [("often", rng.choice(DECISIONS[1:]), f"{rng.choice(columns)} >= {rng.randint(0, 3)}")]
    asked = rng.choice(
        (
            "channel == 'web'",
            "shop != 's1'",
            "price > 0.5 or shop == 's1'",
            "balance is null",
            "outcome == 'bad'",
        )
    )
    rules.append(("field", rng.choice(DECISIONS[1:]), asked))
    return tuple(rules)


def _named_order(drawn: Drawn) -> tuple[ViewOf, ...]:
    """Return the views as a project has them: those of its model first."""
    given = drawn.model.views if drawn.model else []
    return tuple(sorted(drawn.views, key=lambda view: view.name not in given))


def _in_order(drawn: Drawn) -> tuple[SourceOf, ...]:
    """Return the sources that anything names, in the order in which it does: scored, label, then by view."""
    named = [drawn.sources[0].name, *([drawn.label] if drawn.label else [])]
    named += [view.source for view in _named_order(drawn)]
    by_name = {source.name: source for source in drawn.sources}
    return tuple(by_name[name] for name in dict.fromkeys(named))
