"""`features.py` of an inferred project: counts, means and distinct values for each key that was found."""

import json
from collections.abc import Iterator
from keyword import iskeyword

import headrace
from headrace.init.guess import Guess
from headrace.init.infer import Inferred, entity_names
from headrace.init.words import FAILURES

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
WINDOWS = (
    (10 * MINUTE_MS, ("5m", "1h", "24h")),
    (12 * HOUR_MS, ("1h", "24h", "7d")),
    (5 * DAY_MS, ("24h", "7d", "30d")),
)
LONG = ("7d", "30d", "90d")
SUM_MAX = 1 << 33  # of a measure in its smallest unit: the sum of a million rows is served exactly
EVENT_MAX = 20


def windows_of(found: Inferred, key: Guess) -> tuple[str, str, str]:
    """Return three windows that fit how often a key comes: the first holds few records, the last many."""
    gap_ms = found.gap_ms[key.name]
    if not found.time.kind.has_clock:
        gap_ms = max(gap_ms, DAY_MS)
    return next((windows for most, windows in WINDOWS if gap_ms < most), LONG)


def features_text(found: Inferred, project: str, labels: str) -> str:
    """Return the declarations; `labels` is the source of labels, empty for none."""
    names = _Names(found, labels)
    body = [*_sources(found, names, labels), "", *_entities(found, names), "", *_views(found, names), ""]
    if found.label is not None:
        body += [*_model(found, names), ""]
    body += _project(found, names, project)
    used = [name for name in headrace.__all__ if any(f"{name}(" in line for line in body)]
    keys = ", ".join(names.entity)
    about = f'"""Guessed by `headrace init` from {_comment(found.file.name)}: {found.source} by {keys}.'
    return "\n".join([
        about, "",
        "Each guess stands in a comment with how sure it is. After a change: `headrace check`.", '"""', "",
        f"from headrace import {', '.join(sorted(used, key=_import_order))}", "", *body, "",
    ])  # fmt: skip


def _import_order(name: str) -> tuple[bool, str]:
    return (not name[0].isupper(), name)


class _Names:
    """What the declarations are called in Python: no name covers an import, and none comes twice."""

    def __init__(self, found: Inferred, labels: str) -> None:
        self._taken = {*headrace.__all__, "headrace", "project"}
        self.source = self._free(found.source)
        self.labels = self._free(labels) if labels else ""
        self.of = entity_names([key.name for key in found.keys])
        self.entity = {name: self._free(entity) for name, entity in self.of.items()}
        self.view = {name: self._free(f"by_{entity}") for name, entity in self.of.items()}
        self.model = self._free("model")

    def _free(self, name: str) -> str:
        while name in self._taken or iskeyword(name):
            name += "_"
        self._taken.add(name)
        return name


def count_feature(found: Inferred) -> tuple[str, str]:
    """Return the first key's count over its shortest window, as features are called; and the window."""
    key = found.keys[0]
    window = windows_of(found, key)[0]
    return (
        f"{entity_names([each.name for each in found.keys])[key.name]}_{found.source}_count_{window}",
        window,
    )


def _sources(found: Inferred, names: _Names, labels: str) -> Iterator[str]:
    yield f'{names.source} = Source("contracts/{found.source}.yaml")'
    if found.label is not None:
        yield f"# guess {found.label.sure:.1f}: {_comment(found.label.why)}"
        positive = f'positive=col("label") == {json.dumps(found.label.positive, ensure_ascii=False)}'
        after = ', negative_after="30d"' if len(found.label.values) == 1 else ""
        if after:
            yield "# guess 0.3: all labels are positive; a record without one is negative after 30 days"
        yield f'{names.labels} = Source("contracts/{labels}.yaml", labels={names.source}, {positive}{after})'


def _entities(found: Inferred, names: _Names) -> Iterator[str]:
    for key in found.keys:
        yield f"# {_comment(key.mark)}"
        name = "" if names.of[key.name] == key.name.removesuffix("_id") else f', name="{names.of[key.name]}"'
        yield f'{names.entity[key.name]} = Entity("{key.name}"{name})'


def _views(found: Inferred, names: _Names) -> Iterator[str]:
    for key in found.keys:
        short, middle, long = windows_of(found, key)
        asked = [f'count("{short} {middle} {long}")']
        for measure in found.of("measure"):
            asked.append(f'mean_of("{measure.name}", "{middle} {long}")')
            if _magnitude(measure) <= SUM_MAX:
                asked.append(f'sum_of("{measure.name}", "{middle}")')
        asked += [f'distinct("{other.name}", "{middle} {long}")' for other in found.keys if other is not key]
        asked += [
            f'share("{middle} {long}", col("{guess.name}") == {json.dumps(value)})'
            for guess, value in _failures(found)
        ]
        asked.append("since_last()")
        yield f"{names.view[key.name]} = view("
        yield f"    {names.entity[key.name]}, {names.source},"
        yield f"    [  # guess 0.5: {short}, {middle} and {long}, by how often one comes again in the file"
        yield from (f"        {one}," for one in asked)
        yield "    ],"
        yield ")"


def _failures(found: Inferred) -> Iterator[tuple[Guess, str]]:
    for guess in found.of("category"):
        value = next((value for value in guess.kind.enum if value.lower() in FAILURES), None)
        if value is not None:
            yield guess, value


def _magnitude(measure: Guess) -> float:
    return max(abs(float(bound)) for bound in measure.kind.options.values()) * 10.0**measure.kind.scale


def _model(found: Inferred, names: _Names) -> Iterator[str]:
    event = [guess.name for guess in found.guesses if _is_given(guess)][:EVENT_MAX]
    event += ["hour_of_day"] * found.time.kind.has_clock
    yield "# guess 0.5: numbers and categories of the record; take out what nobody knows when it comes"
    yield f"{names.model} = Model("
    yield f'    "{found.source}_model",'
    yield f"    event={json.dumps(event)},"
    yield f"    views=[{', '.join(names.view.values())}],"
    yield f"    label={names.labels},"
    yield ")"


def _is_given(guess: Guess) -> bool:
    if guess.personal or guess.role in ("id", "time", "key", "label"):
        return False
    return bool(guess.kind.enum) or guess.kind.type in ("integer", "decimal", "number", "boolean")


def _project(found: Inferred, names: _Names, project: str) -> Iterator[str]:
    said = f"models=[{names.model}]" if found.label else f"views=[{', '.join(names.view.values())}]"
    yield "project = Project("
    yield f'    "{project}", scored={names.source}, chain=[{", ".join(names.entity.values())}], {said},'
    yield ")"


def _comment(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)
