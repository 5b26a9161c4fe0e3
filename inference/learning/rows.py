"""Records of `predictions` and rows of `features.log` as the learner's columns: numbers only, ids hashed.

An event is known by its place in the log (partition and offset of its raw record), which a prediction
names and which is its own; a label knows it by its id and its keys together.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from contracts.keys import joined_hash
from contracts.text_column import text_column
from features.catalog import CHAIN, DECISIONS, EVENT

PLACE_BITS = 48
NO_SERIES = -1
SOURCES = ("chargeback", "analyst", "rule")
Ints = NDArray[np.int64]
EVENT_COLUMNS = frozenset(
    {*EVENT.fields, "raw_partition", "raw_offset", "amount_minor", "channel", "country"}
)
LABEL_COLUMNS = frozenset({*EVENT.fields, "positive", "source", CHAIN.last.position})
SERIES_MAX = 10_000  # names that predictions may bring; a series is 16 bits
WORDS_MAX = 10_000
OTHER = "other"
_DECISION = {name: code for code, name in enumerate(DECISIONS.names)}


EVENT_KEYS = tuple(link.name for link in EVENT.links)
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


def read_predictions(values: Sequence[bytes], numbers: SeriesNumbers) -> Read:
    """Return the columns of n records; one that cannot be read is counted and passed over."""
    read: list[_Prediction] = []
    for value in values:
        try:
            one = _decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if one.decision in _DECISION:
            read.append(one)
    named = [
        text_column([p.event_id for p in read]),
        *(text_column([p.keys.get(name) or "" for p in read]) for name in EVENT_KEYS),
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
        "decision": np.array([_DECISION[p.decision] for p in read], np.int8),
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


def event_columns(rows: Columns, words: dict[str, Words]) -> Columns:
    """Return what the learner keeps of n rows of Kind.SCORED.

    Args:
        words: numbers the texts of the columns `channel` and `country`.
    """
    return {
        "key": joined_hash(*EVENT.identity_of(rows)),
        "place": (rows["raw_partition"].astype(np.int64) << PLACE_BITS) + rows["raw_offset"],
        "event_ms": rows["event_time"], "amount_minor": rows["amount_minor"],
        "channel": words["channel"].of(rows["channel"]), "country": words["country"].of(rows["country"]),
    }  # fmt: skip


def label_columns(rows: Columns, partition: int) -> Columns:
    """Return what the learner keeps of n rows of Kind.LABEL, of one partition of features.log."""
    known = np.zeros(length(rows), np.int8)
    for code, source in enumerate(SOURCES):
        known[rows["source"] == source.encode()] = code
    return {
        "key": joined_hash(*EVENT.identity_of(rows)), "id": EVENT.ids_of(rows),
        "event_ms": rows["event_time"],
        "label_ms": rows["label_time"], "positive": rows["positive"].astype(np.int8), "source": known,
        "partition": np.full(length(rows), partition, np.int32), "pos": rows[CHAIN.last.position],
    }  # fmt: skip
