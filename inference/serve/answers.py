"""What the HTTP door answers: a decision for a pending event, features as of a moment.

Nothing here knows HTTP; what is read comes from the reader of tiles, and nothing is written.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import orjson
from msgspec import UNSET, Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from contracts.frame import Columns, concat, strings
from contracts.hashed_fields import HashKeys, keys_needed
from contracts.keys import key_of
from features.definition import BatchView, Entity
from features.project.running import RunningProject
from inference.reading.moment_reader import AsOf, MomentReader
from inference.reading.pending import pending_rows
from inference.reading.served import NO_AGE, STATUS_NAMES, judged_profiles
from inference.scorer.core import ScorerCore
from runtime.clock import Clock

FOREVER_MS = np.iinfo(np.int64).max
STORE_AWAY, ROW_UNREADABLE, PROFILE_STALE = "store_unavailable", "store_row_unreadable", "profile_stale"
STORE_EVICTS = "store_evicts"
_LOG_ONLY = ("prediction_id", "source")  # of a prediction: what only a logged event has


class Asked(NamedTuple):
    """A question and the moment it came, epoch ms; `now_ms` is the moment asked for."""

    question: Struct
    now_ms: int


class PendingDecisions:
    """Scores pending events with the scorer's own core; nothing is written and no detector is fed.

    `evicts` tells whether the store's server throws keys away; asked only where something is missing.
    """

    def __init__(self, core: ScorerCore, clock: Clock, evicts: Callable[[], bool] = lambda: False) -> None:
        self._core, self._clock, self._evicts = core, clock, evicts

    def answer(self, asked: list[Columns]) -> list[dict[str, Any]]:
        """Return a decision for each event of all `asked` columns of the gate's, in order.

        It has a prediction's fields, but for those of a place in the log, and says that it is pending.
        """
        rows = pending_rows(concat(asked), self._core.project.pipeline.chain)
        scored = self._core.score(rows, self._clock.now_ms())
        answers = [orjson.loads(prediction) for prediction in scored.predictions]
        for answer in answers:
            for name in _LOG_ONLY:
                answer.pop(name, None)
            tell_eviction(answer, answer["features"]["groups"].values(), self._evicts)
        return [{"pending": True, **answer} for answer in answers]


class Moments:
    """Answers questions for features, each as of its own moment; `evicts` as of `PendingDecisions`."""

    def __init__(
        self, project: RunningProject, reader: MomentReader, clock: Clock,
        evicts: Callable[[], bool] = lambda: False, secrets: HashKeys | None = None,
    ) -> None:  # fmt: skip
        self._project, self._scored = project, project.pipeline.scored
        self._entities = {entity.name: entity for entity in project.entities}
        self._reader, self._clock, self._evicts, self._secrets = reader, clock, evicts, secrets

    def answer(self, asked: list[Asked]) -> list[dict[str, Any]]:
        """Return each question's features by name, in order; what is not asked for is left out."""
        asked = [self._as_stored(one) for one in asked]
        now_ms = np.array([one.now_ms for one in asked], np.int64)
        keys = {name: self._keys_of(asked, name) for name in self._entities}
        stored = self._reader.read([keys[name].keys for name in self._entities], self._clock.elapsed_ms())
        answers = [self._head(one) for one in asked]
        if stored is None:
            for answer, one in zip(answers, asked, strict=True):
                answer |= self._nothing(one.question)
            return answers
        for name, entity in self._entities.items():
            at = keys[name].asked
            if len(at):
                found = self._reader.at(entity, stored.held[name], now_ms[at])
                _tell(answers, at, name, entity, found)
        if (view := self._project.profile).columns:
            at = keys[self._project.profiled.name].asked
            _tell_profiles(view, answers, at, now_ms, stored.profile)
        for answer in answers:
            answer["degraded"] = bool(answer["degraded_why"])
            groups = (answer[name] for name in (*self._entities, "profile") if name in answer)
            tell_eviction(answer, groups, self._evicts)
        return answers

    def _as_stored(self, one: Asked) -> Asked:
        """Return the question with personal keys as the gate replaces them."""
        if not self._scored.hashed:
            return one
        secrets, now_ms = keys_needed(self._scored, self._secrets), int(self._clock.now_ms())
        given = {name: getattr(one.question, name, None) for name in self._scored.hashed}
        hashes = {
            name: secrets.hashed([str(value)], [now_ms])[0]
            for name, value in given.items()
            if value is not None and value is not UNSET
        }
        return one._replace(question=replace(one.question, **hashes))

    def _keys_of(self, asked: list[Asked], entity: str) -> "_Keys":
        named = [(at, self._key(one.question, entity)) for at, one in enumerate(asked)]
        known = [(at, key) for at, key in named if key]
        return _Keys(strings([key for _, key in known]), np.array([at for at, _ in known], np.int64))

    def _key(self, question: Struct, entity: str) -> bytes:
        """Return the key of an entity that a question names; empty where it does not, or not all of it."""
        fields = self._project.pipeline.chain.named(entity).fields
        given = {name: getattr(question, name) for name in fields}
        if any(value is UNSET or value is None or value == "" for value in given.values()):
            return b""
        key: bytes = key_of({name: _one(value) for name, value in given.items()}, fields)[0]
        return key

    def _head(self, one: Asked) -> dict[str, Any]:
        return {
            "now_ms": one.now_ms, "service": self._project.service.name,
            "definitions_hash": self._project.definitions_hash, "degraded": False, "degraded_why": [],
        }  # fmt: skip

    def _nothing(self, question: Struct) -> dict[str, Any]:
        """Return what is said when the store is away: every feature by name, each null."""
        groups: dict[str, Any] = {"degraded": True, "degraded_why": [STORE_AWAY]}
        for name, entity in self._entities.items():
            if self._key(question, name):
                groups[name] = {"status": "default", "values": dict.fromkeys(entity.columns)}
        view = self._project.profile
        if view.columns and self._key(question, self._project.profiled.name):
            groups["profile"] = {"status": "default", "values": dict.fromkeys(view.columns)}
        return groups


class _Keys(NamedTuple):
    keys: NDArray[np.bytes_]
    asked: NDArray[np.int64]  # the numbers of the questions that name one


def _one(value: str | int) -> NDArray[Any]:
    return np.array([value]) if isinstance(value, int) else strings([value])


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
    view: BatchView,
    answers: list[dict[str, Any]],
    at: NDArray[np.int64],
    now_ms: NDArray[np.int64],
    profile: Any,
) -> None:
    status, age_ms = judged_profiles(view, profile.time_ms, now_ms[at], known_only=False)
    rows = zip(
        at.tolist(), profile.values.tolist(), status.tolist(), age_ms.tolist(), profile.time_ms.tolist(),
        strict=True,
    )  # fmt: skip
    for number, values, code, age, time_ms in rows:
        answers[number]["profile"] = {
            "status": STATUS_NAMES[code],
            "as_of_ms": time_ms if age != NO_AGE else None,
            "age_ms": age if age != NO_AGE else None,
            "values": dict(zip(view.columns, values, strict=True)),
        }
        if STATUS_NAMES[code] == "stale":
            answers[number]["degraded_why"].append(PROFILE_STALE)


def tell_eviction(
    answer: dict[str, Any], groups: Iterable[dict[str, Any]], evicts: Callable[[], bool]
) -> None:
    """Say that what is missing may have been evicted."""
    if any(group["status"] == "default" for group in groups) and evicts():
        answer["degraded"] = True
        answer["degraded_why"] = [*answer["degraded_why"], STORE_EVICTS]
