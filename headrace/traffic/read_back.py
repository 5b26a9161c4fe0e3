"""What the gate will make of records: the accepted ones as columns, told by the contract that judges them."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.event_identity import EventIdentity
from contracts.frame import Columns
from contracts.hashed_fields import HashKey, HashKeys
from contracts.raw import RawBatch
from contracts.verdict import judge
from features.project.compiled import POSITIVE
from headrace.traffic.form import Form
from headrace.traffic.input_files import Records

SLICE_ROWS = 20_000
OWN_KEYS = HashKeys((HashKey(version=1, from_ms=0, secret=b"of one count only"),))


@dataclass(frozen=True)
class LabelTruth:
    """What labels say, in order of the time at which each became known: of which event, and whether it is."""

    ids: list[str]
    positive: NDArray[np.bool_]


@dataclass(frozen=True)
class RecordFacts:
    """Of each record (n,): its first key and its time in epoch ms; of a refused one none, and its moment."""

    key: NDArray[np.bytes_]
    event_ms: NDArray[np.int64]


def facts_of(form: Form, records: Records, named: EventIdentity) -> RecordFacts:
    """Return the facts of a scored source's records; personal keys are hashed by a secret of our own."""
    event_ms, keys = records.moment_ms.copy(), list[NDArray[Any]]()
    for start, good, rows in _accepted(form, records):
        event_ms[start + rows] = good[form.source.time]
        part = np.zeros(min(SLICE_ROWS, len(event_ms) - start), named.record_key(good).dtype)
        part[rows] = named.record_key(good)
        keys.append(part)
    return RecordFacts(np.concatenate(keys) if keys else np.zeros(0, "S1"), event_ms)


def truth_of(labels: dict[Form, Records], named: EventIdentity) -> LabelTruth:
    """Return what all labels say that the gate accepts."""
    ids, known_ms, positive = list[str](), list[NDArray[Any]](), list[NDArray[Any]]()
    for form, records in labels.items():
        for _, good, _ in _accepted(form, records):
            ids += [text.decode() for text in named.ids_of(good).tolist()]
            known_ms.append(good[form.source.time])
            positive.append(np.asarray(good[POSITIVE]) == 1)
    if not ids:
        return LabelTruth([], np.zeros(0, np.bool_))
    order = np.argsort(np.concatenate(known_ms), kind="stable")
    return LabelTruth([ids[row] for row in order.tolist()], np.concatenate(positive)[order])


def _accepted(form: Form, records: Records) -> "list[tuple[int, Columns, NDArray[np.int64]]]":
    """Return the accepted rows of each slice: where it begins, their columns, their numbers in it."""
    now_ms, found = int(time.time() * 1000), []
    for start in range(0, len(records.moment_ms), SLICE_ROWS):
        part = records.slice(start, start + SLICE_ROWS)
        batch = RawBatch.of((0, row, now_ms, key, value, None) for row, (key, value) in enumerate(part))
        verdict = judge(form.source, batch, OWN_KEYS)
        found.append((start, verdict.good, verdict.good_index))
    return found
