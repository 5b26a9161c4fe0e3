"""What labels a file has: in a column of the records, or in a file of their own that names records by id."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigError
from contracts.problem import nearest_name
from headrace.given.convert import converter
from headrace.given.given import name_of
from headrace.given.rows import read_rows
from headrace.given.shape import Shape
from headrace.init.column import GivenColumn, columns_of
from headrace.init.guess import ColumnKind, Guess
from headrace.init.times import moments_of, time_kind
from headrace.init.words import LABELS, POSITIVES, words_of

VALUES_MAX = 20
NONE_SAID = "positive"  # of a file in which a row's being there says it
DELAYS_S = ((10 * 86_400_000, 86_400), (36_000_000, 3_600), (0, 60))  # by the time that the file spans, ms


@dataclass(kw_only=True)
class LabelGuess:
    """Where labels are, what they say, and which of them are positive.

    Args:
        place: of the label in its rows; empty where a row's being there says it.
        known_after_s: how long after its record one is taken to be known; 0 where the file says when.
        file, shape: of a file of their own; the file is empty where the records have them.
        id_place, id_convert: of the id there, and how it becomes the records'.
        time, time_place: when one became known there.
    """

    place: tuple[str, ...]
    values: tuple[str, ...]
    positive: str
    sure: float
    why: str
    change: str
    known_after_s: int
    file: str = ""
    shape: Shape | None = None
    id_place: tuple[str, ...] = ()
    id_convert: str = ""
    time: ColumnKind | None = None
    time_place: tuple[str, ...] = ()
    joined: float = 1.0


def take_label(columns: list[GivenColumn], named: str, where: str) -> tuple[list[GivenColumn], GivenColumn]:
    """Return the other columns, and the one that was named as the label.

    Raises:
        ConfigError: E_INIT_LABEL, there is none of that name.
    """
    by_name = {name: column for column in columns for name in (column.name, name_of(column.place))}
    if named not in by_name:
        near = nearest_name(named, tuple(by_name))
        raise ConfigError(
            "E_INIT_LABEL", f"there is no column {named!r}", where,
            f"did you mean {near!r}?" if near else f"name one of {', '.join(by_name)}",
        )  # fmt: skip
    label = by_name[named]
    return [column for column in columns if column is not label], label


def label_in_rows(column: GivenColumn, span_ms: float, where: str) -> LabelGuess:
    """Return what a column of the records says of them.

    Raises:
        ConfigError: E_INIT_LABEL, it has one value or too many.
    """
    said = _said(column, where)
    positive, sure, why = _positive(said)
    if len(said) < 2:
        raise _refused(f"every row has the label {positive!r}: there is nothing to tell apart", where)
    after_s = next(delay for least, delay in DELAYS_S if span_ms >= least)
    return LabelGuess(
        place=column.place, values=tuple(sorted(said)), positive=positive, sure=sure, why=why,
        change=f"the file does not say when one became known: {_length(after_s)} after its record is taken",
        known_after_s=after_s,
    )  # fmt: skip


def label_in_file(path: Path, id: Guess, named: str, span_ms: float) -> LabelGuess:
    """Return the labels of a file of their own, which are joined to the records by id.

    Raises:
        ConfigError: E_INIT_LABEL, no column of it has the records' ids, or nothing says what a label is; and
            as `read_rows`.
    """
    read = read_rows(path)
    columns, _ = columns_of(read.rows)
    of = {str(value) for value in id.values}
    shares = [(_share(column, of), column) for column in columns]
    joined, id_column = max(shares, key=lambda each: each[0], default=(0.0, columns[0]))
    if not joined:
        raise ConfigError(
            "E_INIT_LABEL", f"no column of it has values of {id.name}, the id of the records", str(path),
            "give labels of these records: a column with their ids, and what each turned out to be",
        )  # fmt: skip
    others = [column for column in columns if column is not id_column]
    times = [(column, kind) for column in others if (kind := time_kind(column))]
    label = _label_column([c for c in others if c not in [time for time, _ in times]], named, str(path))
    said = _said(label, str(path)) if label else Counter({NONE_SAID: len(read.rows)})
    positive, sure, why = _positive(said)
    after_s = 0 if times else next(delay for least, delay in DELAYS_S if span_ms >= least)
    guess = LabelGuess(
        place=label.place if label else (), values=tuple(sorted(said)), positive=positive, sure=sure, why=why,
        change="", known_after_s=after_s, file=str(path.resolve()), shape=read.shape,
        id_place=id_column.place, id_convert=_same_type(id, id_column), joined=joined,
    )  # fmt: skip
    if times:
        guess.time_place, guess.time = max(
            ((column.place, kind) for column, kind in times), key=lambda each: _mean(columns, each)
        )
        guess.change = f"{name_of(guess.time_place)!r} is taken for when it became known"
    else:
        guess.change = f"the file does not say when: {_length(after_s)} after its record is taken"
    return guess


def _mean(columns: Sequence[GivenColumn], timed: tuple[tuple[str, ...], ColumnKind]) -> float:
    """Return the mean time of a column: labels become known last."""
    place, kind = timed
    convert = converter(kind.convert) if kind.convert else lambda value: value
    column = next(each for each in columns if each.place == place)
    moments = moments_of([convert(value) for value in column.present[:500]], kind)
    return sum(moments) / len(moments) if moments else 0.0


def _share(column: GivenColumn, ids: set[str]) -> float:
    texts = {str(value) for value in column.present}
    return len(texts & ids) / max(1, len(texts))


def _same_type(id: Guess, column: GivenColumn) -> str:
    """Return the conversion after which an id there equals the records' own."""
    if id.kind.type == "string":
        return "" if column.types == {str} else "text"
    return "" if column.types == {int} else "number ."


def _label_column(columns: list[GivenColumn], named: str, where: str) -> GivenColumn | None:
    if named:
        return take_label(columns, named, where)[1]
    for name in LABELS:
        for column in columns:
            if "_".join(words_of(column.name)) == name:
                return column
    few = [column for column in columns if 1 <= len(column.distinct) <= VALUES_MAX]
    return min(few, key=lambda column: len(column.distinct), default=None)


def _said(column: GivenColumn, where: str) -> "Counter[str]":
    text = converter("text")
    said = Counter(str(text(value)) for value in column.present)
    if not said or len(said) > VALUES_MAX:
        raise _refused(
            f"the label {name_of(column.place)!r} has {len(said):,} values, not 2 to {VALUES_MAX}", where
        )
    return said


def _refused(what: str, where: str) -> ConfigError:
    return ConfigError(
        "E_INIT_LABEL", what, where,
        "name with --label a column that says what a record turned out to be; or leave it out",
    )  # fmt: skip


def _positive(said: "Counter[str]") -> tuple[str, float, str]:
    """Return which label is positive, how sure that is, and why."""
    shown = ", ".join(f"{value} {count:,}" for value, count in said.most_common(4))
    known = [value for value in said if value.strip().lower() in POSITIVES]
    if len(known) == 1:
        return known[0], 0.9, f"labels {shown}; {known[0]!r} is positive, as the word says"
    rarest = min(said, key=lambda value: (said[value], value))
    return rarest, 0.5, f"labels {shown}; {rarest!r}, the rarest, is taken as positive"


def _length(seconds: int) -> str:
    return {86_400: "a day", 3_600: "an hour", 60: "a minute"}[seconds]
