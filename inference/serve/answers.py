"""What the HTTP door answers: a decision for a pending payment, features as of a moment.

Nothing here knows HTTP; what is read comes from the reader of tiles, and nothing is written.
"""

from typing import Any, NamedTuple

import numpy as np
import orjson
from msgspec import UNSET
from numpy.typing import NDArray

from contracts.frame import Columns, concat, length
from contracts.text_column import text_column
from features.catalog import CUSTOMER, CUSTOMER_PROFILE, DEFINITIONS_HASH, SERVICE, TERMINAL
from features.definition import Entity
from inference.clock import Clock
from inference.reading.moment_reader import AsOf, Held, MomentReader
from inference.reading.pending import pending_rows
from inference.reading.served import NO_AGE, STATUS_NAMES, judged_profiles
from inference.scorer.core import ScorerCore
from inference.serve.request import Question

FOREVER_MS = np.iinfo(np.int64).max
ENTITIES = {"customer": CUSTOMER, "terminal": TERMINAL}
STORE_AWAY, ROW_UNREADABLE, PROFILE_STALE = "store_unavailable", "store_row_unreadable", "profile_stale"
_LOG_ONLY = ("prediction_id", "source")  # of a prediction: what only a logged payment has


class Asked(NamedTuple):
    """A question and the moment it came, epoch ms; `now_ms` is the moment asked for."""

    question: Question
    now_ms: int


class Decisions:
    """Scores pending payments with the scorer's own core; nothing is written and no detector is fed."""

    def __init__(self, core: ScorerCore, clock: Clock) -> None:
        self._core, self._clock = core, clock

    def answer(self, asked: list[Columns]) -> list[dict[str, Any]]:
        """Return a decision for each payment of all `asked` columns of the gate's, in order.

        It has a prediction's fields, but for those of a place in the log, and says that it is pending.
        """
        rows = pending_rows(concat(asked))
        scored = self._core.score(rows, self._clock.now_ms())
        answers = [orjson.loads(prediction) for prediction in scored.predictions]
        for answer in answers:
            for name in _LOG_ONLY:
                answer.pop(name, None)
        return [{"pending": True, **answer} for answer in answers]


class Moments:
    """Answers questions for features, each as of its own moment."""

    def __init__(self, reader: MomentReader, clock: Clock) -> None:
        self._reader, self._clock = reader, clock

    def answer(self, asked: list[Asked]) -> list[dict[str, Any]]:
        """Return each question's features by name, in order; what is not asked for is left out."""
        now_ms = np.array([one.now_ms for one in asked], np.int64)
        keys = {name: _keys_of(asked, entity) for name, entity in ENTITIES.items()}
        stored = self._reader.read(keys["customer"].keys, keys["terminal"].keys, self._clock.elapsed_ms())
        answers = [_head(one) for one in asked]
        if stored is None:
            for answer, one in zip(answers, asked, strict=True):
                answer |= _nothing(one.question)
            return answers
        helds: dict[str, Held] = {"customer": stored.customer, "terminal": stored.terminal}
        for name, entity in ENTITIES.items():
            at = keys[name].asked
            if len(at):
                found = self._reader.at(entity, helds[name], now_ms[at])
                _tell(answers, at, name, entity, found)
        _tell_profiles(answers, keys["customer"].asked, now_ms, stored.profile)
        for answer in answers:
            answer["degraded"] = bool(answer["degraded_why"])
        return answers


class _Keys(NamedTuple):
    keys: NDArray[np.bytes_]
    asked: NDArray[np.int64]  # the numbers of the questions that name one


def _keys_of(asked: list[Asked], entity: Entity) -> _Keys:
    named = [(at, getattr(one.question, entity.join_key)) for at, one in enumerate(asked)]
    known = [(at, key) for at, key in named if key is not UNSET and key is not None]
    return _Keys(text_column([key for _, key in known]), np.array([at for at, _ in known], np.int64))


def _head(one: Asked) -> dict[str, Any]:
    return {
        "now_ms": one.now_ms, "service": SERVICE.name, "definitions_hash": DEFINITIONS_HASH,
        "degraded": False, "degraded_why": [],
    }  # fmt: skip


def _tell(
    answers: list[dict[str, Any]], at: NDArray[np.int64], name: str, entity: Entity, found: AsOf
) -> None:
    """Add an entity's features to the answers of the questions `at`."""
    columns = zip(
        at.tolist(), found.values.tolist(), found.uncertain.tolist(), found.newest_ms.tolist(),
        found.valid_until_ms.tolist(), strict=True,
    )  # fmt: skip
    for number, values, uncertain, newest_ms, until_ms in columns:
        answer = answers[number]
        has_past = newest_ms >= 0
        answer[name] = {
            "status": "default" if uncertain else "exact",
            "newest_event_ms": newest_ms if has_past else None,
            "age_ms": answer["now_ms"] - newest_ms if has_past else None,
            "valid_until_ms": None if uncertain or until_ms == FOREVER_MS else until_ms,
            "values": dict(zip(entity.columns, values, strict=True)),
        }
        if uncertain and ROW_UNREADABLE not in answer["degraded_why"]:
            answer["degraded_why"].append(ROW_UNREADABLE)


def _tell_profiles(
    answers: list[dict[str, Any]], at: NDArray[np.int64], now_ms: NDArray[np.int64], profile: Any
) -> None:
    status, age_ms = judged_profiles(profile.time_ms, now_ms[at], known_only=False)
    rows = zip(
        at.tolist(), profile.values.tolist(), status.tolist(), age_ms.tolist(), profile.time_ms.tolist(),
        strict=True,
    )  # fmt: skip
    for number, values, code, age, time_ms in rows:
        answers[number]["profile"] = {
            "status": STATUS_NAMES[code],
            "as_of_ms": time_ms if age != NO_AGE else None,
            "age_ms": age if age != NO_AGE else None,
            "values": dict(zip(CUSTOMER_PROFILE.columns, values, strict=True)),
        }
        if STATUS_NAMES[code] == "stale":
            answers[number]["degraded_why"].append(PROFILE_STALE)


def _nothing(question: Question) -> dict[str, Any]:
    """Return what is said when the store is away: every feature by name, each null."""
    groups: dict[str, Any] = {"degraded": True, "degraded_why": [STORE_AWAY]}
    for name, entity in ENTITIES.items():
        if getattr(question, entity.join_key):
            groups[name] = {"status": "default", "values": dict.fromkeys(entity.columns)}
    if question.customer_id:
        groups["profile"] = {"status": "default", "values": dict.fromkeys(CUSTOMER_PROFILE.columns)}
    return groups


def rows_in(asked: list[Columns]) -> int:
    """Return how many payments the columns hold."""
    return sum(length(rows) for rows in asked)
