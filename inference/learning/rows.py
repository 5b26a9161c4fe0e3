"""Records of `predictions` and rows of `features.log` as the learner's columns: numbers only, ids hashed.

An event is known by its place in the log (partition and offset of its raw record), which a prediction
names and which is its own; a label knows it by its id and its keys together.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.keys import joined_hash
from contracts.row_columns import log_columns
from contracts.text_column import text_column
from features.project.running import RunningProject

PLACE_BITS = 48
NO_SERIES = -1
SOURCES = ("chargeback", "analyst", "rule")
Ints = NDArray[np.int64]
SEGMENTS = ("channel", "country")  # fields of the event whose few values are segments, where it has them
SERIES_MAX = 10_000  # names that predictions may bring; a series is 16 bits
WORDS_MAX = 10_000
OTHER = "other"
_Whole = Annotated[int, msgspec.Meta(ge=0, lt=1 << 40)]
_Partition = Annotated[int, msgspec.Meta(ge=0, lt=1 << 15)]
_Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 43)]
_Id = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]+$")]  # columns of texts end at a NUL


class _Model(msgspec.Struct, gc=False):
    name: str
    version: str
    stage: str


class _Shadow(msgspec.Struct, gc=False):
    model: str
    score: float


class _Source(msgspec.Struct, gc=False):
    partition: _Partition
    offset: _Whole


class _Prediction(msgspec.Struct, gc=False):
    event_id: _Id
    keys: dict[str, _Id | None]
    event_time: _Time
    decision: str
    source: _Source
    score: float | None = None
    model: _Model | None = None
    shadow: list[_Shadow] = []


class Series(NamedTuple):
    """Whose scores: a version of a model and its place in service when it scored."""

    model: str
    stage: str


class SeriesNumbers:
    """A small number for each series, in the order they are met.

    >>> numbers = SeriesNumbers()
    >>> numbers.of("risk/1", "champion"), numbers.of("risk/2", "shadow"), numbers.of("risk/1", "champion")
    (0, 1, 0)
    """

    def __init__(self, known: Sequence[Series] = ()) -> None:
        self.known = list(known)
        self._number = {series: number for number, series in enumerate(self.known)}

    def of(self, model: str, stage: str) -> int:
        """Return the number of a series, a new one for a series not met before; beyond all bounds none."""
        series = Series(model, stage)
        number = self._number.get(series)
        if number is None and len(self.known) >= SERIES_MAX:
            return NO_SERIES
        if number is None:
            number = self._number[series] = len(self.known)
            self.known.append(series)
        return number


class Read(NamedTuple):
    """What records of `predictions` came to: one row a decision, and one a shadow's score."""

    predictions: Columns
    shadows: Columns
    refused: int


_decode = msgspec.json.Decoder(_Prediction).decode


def read_predictions(values: Sequence[bytes], numbers: SeriesNumbers, project: RunningProject) -> Read:
    """Return the columns of n records of a project's; one that cannot be read is counted and passed over."""
    read: list[_Prediction] = []
    codes = {name: code for code, name in enumerate(project.decisions.names)}
    for value in values:
        try:
            one = _decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if one.decision in codes:
            read.append(one)
    named = [
        text_column([p.event_id for p in read]),
        *(text_column([p.keys.get(link.name) or "" for p in read]) for link in project.event.links),
    ]
    key = joined_hash(*named)
    place = np.array([(p.source.partition << PLACE_BITS) + p.source.offset for p in read], np.int64)
    event_ms = np.array([p.event_time for p in read], np.int64)
    models = [p.model for p in read]
    series = [
        NO_SERIES if m is None or p.score is None else numbers.of(f"{m.name}/{m.version}", m.stage)
        for p, m in zip(read, models, strict=True)
    ]
    rows: Columns = {
        "key": key, "place": place, "event_ms": event_ms,
        "score": np.array([np.nan if p.score is None else p.score for p in read], np.float64),
        "decision": np.array([codes[p.decision] for p in read], np.int8),
        "series": np.array(series, np.int16),
    }  # fmt: skip
    shadows = [(row, shadow) for row, p in enumerate(read) for shadow in p.shadow]
    owner = np.array([row for row, _ in shadows], np.int64)
    return Read(
        predictions=rows,
        shadows={
            "place": place[owner], "event_ms": event_ms[owner],
            "score": np.array([shadow.score for _, shadow in shadows], np.float64),
            "series": np.array([numbers.of(shadow.model, "shadow") for _, shadow in shadows], np.int16),
        },
        refused=len(values) - len(read),
    )  # fmt: skip


class Words:
    """A small number for each short text of a column, in the order they are met."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.known = list(known)
        self._number = {word: number for number, word in enumerate(self.known)}

    def of(self, column: NDArray[np.bytes_]) -> NDArray[np.int16]:
        """Return the number of each text of (n,).

        >>> words = Words()
        >>> words.of(np.array([b"pos", b"", b"pos"])).tolist(), words.known
        ([1, 0, 1], ['', 'pos'])
        """
        found, which = np.unique(column, return_inverse=True)
        numbers = []
        for text in found.tolist():
            word = text.decode()
            if word not in self._number and len(self.known) >= WORDS_MAX:
                word = OTHER
            if word not in self._number:
                self._number[word] = len(self.known)
                self.known.append(word)
            numbers.append(self._number[word])
        return np.array(numbers, np.int16)[which]


class KeptRows:
    """What the learner keeps of a project's rows of features.log; amounts are -1 where it has no money."""

    def __init__(self, project: RunningProject) -> None:
        pipeline = project.pipeline
        self._event, self._money = project.event, project.money
        self._scored, self._labels = pipeline.scored, {source.number: source for source in pipeline.labels}
        self._position = pipeline.chain.last.position
        worth = {self._money} if self._money else set()
        segments = {name for name in SEGMENTS if name in pipeline.scored.names}
        own = frozenset({*self._event.fields, "raw_partition", "raw_offset", *worth, *segments})
        labels = frozenset({*self._event.fields, "positive", self._position})
        needed = log_columns(pipeline)
        self.needed: Mapping[int, frozenset[str]] = {
            pipeline.scored.number: needed[pipeline.scored.number] | own,
            **{number: needed[number] | labels for number in self._labels},
        }

    def is_label(self, kind: int) -> bool:
        """Return whether rows of this kind are labels."""
        return kind in self._labels

    def is_event(self, kind: int) -> bool:
        """Return whether rows of this kind are events that are decided."""
        return kind == self._scored.number

    def events(self, rows: Columns, words: Mapping[str, Words]) -> Columns:
        """Return the columns of n scored rows.

        Args:
            words: numbers the texts of the columns `SEGMENTS`.
        """
        nothing, unknown = np.zeros(length(rows), "S1"), np.full(length(rows), -1, np.int64)
        return {
            "key": joined_hash(*self._event.identity_of(rows)),
            "place": (rows["raw_partition"].astype(np.int64) << PLACE_BITS) + rows["raw_offset"],
            "event_ms": rows[self._scored.time],
            "amount_minor": rows[self._money] if self._money else unknown,
            **{name: words[name].of(rows.get(name, nothing)) for name in SEGMENTS},
        }

    def labels(self, rows: Columns, kind: int, partition: int) -> Columns:
        """Return the columns of n labels, of one partition of features.log."""
        known, label_ms = np.zeros(length(rows), np.int8), rows[self._labels[kind].time]
        for code, source in enumerate(SOURCES if "source" in rows else ()):
            known[rows["source"] == source.encode()] = code
        return {
            "key": joined_hash(*self._event.identity_of(rows)), "id": self._event.ids_of(rows),
            "event_ms": rows.get(self._scored.time, label_ms),
            "label_ms": label_ms, "positive": rows["positive"].astype(np.int8), "source": known,
            "partition": np.full(length(rows), partition, np.int32), "pos": rows[self._position],
        }  # fmt: skip
