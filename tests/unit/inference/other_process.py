"""What a scorer and an HTTP API of another project do, said as JSON: run with HEADRACE_PROJECT set.

The store is in memory and empty, or away; the rows are the stages', the requests are JSON as callers send it.
"""

import json
import sys
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.events import Prediction
from contracts.frame import Columns, length, take
from contracts.hashed_fields import HashKey, HashKeys
from contracts.keys import key_of
from features.feast_row import RowsRead
from features.meaning import meanings_of
from inference.learning.rows import SeriesNumbers, read_predictions
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.feature_rows import for_scoring, scoring_columns
from inference.reading.moment_reader import MomentReader
from inference.reading.online_reader import StoreUnavailable
from inference.reading.pending import PendingServer
from inference.reading.served import FeatureServer
from inference.scorer.core import ScorerCore
from inference.serve.answers import Asked, Moments, PendingDecisions
from inference.serve.request import Requests, ServeError
from inference.serve.worker import nobody
from load.this_project import CHAIN, ENTITIES, PIPELINE, PROJECT, SERVICE
from tests.unit.inference.support import OWN_POLICY

EPOCH, NOW_MS = 7, 1_760_000_000_000
REQUESTS = Requests(PROJECT)
SECRETS = HashKeys((HashKey(version=1, from_ms=0, secret=b"0123456789abcdef"),))


class EmptyStore:
    """A store without a row, or one that does not answer."""

    def __init__(self) -> None:
        self.down = False

    def read(self, *keys: NDArray[np.bytes_]) -> tuple[RowsRead, ...]:
        """Return that nothing is there."""
        if self.down:
            raise StoreUnavailable("E_STORE_UNAVAILABLE", "no answer", "memory")
        return tuple(map(_nothing, ENTITIES, keys))


def _nothing(entity: Any, keys: NDArray[np.bytes_]) -> RowsRead:
    count, views = len(keys), len(entity.views) + 1
    none = np.full((count, views), -1, np.int64)
    return RowsRead(
        np.full((count, len(entity.columns)), np.nan), none, none, none, none >= 0,
        np.zeros(count, np.bool_), "", (b"",) * count, np.full(count, -1),
    )  # fmt: skip


class Still:
    """A clock, a source of models and a policy's world, all of them still."""

    def now_ms(self) -> float:
        """Return the time."""
        return float(NOW_MS)

    elapsed_ms = now_ms

    def current(self) -> None:
        """Return that there is no model."""


def rows_of(documents: list[bytes]) -> Columns:
    """Return accepted events as the last stage writes them, each entity's values its place in the chain."""
    found = REQUESTS.pending_of(documents, NOW_MS, SECRETS)
    assert found.rows is not None
    rows, count = dict(found.rows), length(found.rows)
    for link, entity in zip(CHAIN.links, ENTITIES, strict=True):
        values = np.full((count, len(entity.columns)), float(link.place))
        values[key_of(rows, link.fields) == b""] = np.nan
        rows |= {link.values: values, link.position: np.arange(count)}
        rows |= {link.partition: np.zeros(count, np.int32), link.definitions: np.zeros(0, np.uint64)}
    return {name: column for name, column in rows.items() if name in scoring_columns(PIPELINE)}


def main(documents: list[bytes], questions: list[bytes]) -> dict[str, Any]:
    """Score, answer, and say what came of it."""
    store, still = EmptyStore(), Still()
    columns = scoring_columns(PIPELINE)
    rows = for_scoring(rows_of(documents), columns, meanings_of(ENTITIES))
    server = FeatureServer(PROJECT, store, Breaker(1.0), EPOCH, 10)
    core = ScorerCore(PROJECT, server, still, still, EPOCH, FixedPolicy(OWN_POLICY))
    said = core.score(rows, float(NOW_MS)).predictions
    store.down = True
    alone = core.score(take(rows, slice(0, 1)), float(NOW_MS)).predictions
    store.down = False
    read = [msgspec.json.decode(one, type=Prediction) for one in (*said, *alone)]
    reader = MomentReader(PROJECT, store, Breaker(1.0), lambda: True, EPOCH)
    pending = ScorerCore(
        PROJECT,
        PendingServer(PROJECT, reader),
        still,
        still,
        EPOCH,
        FixedPolicy(OWN_POLICY),
        watching=False,
    )
    batch = json.dumps({PIPELINE.scored.topic: [json.loads(one) for one in documents]}).encode()
    asked = REQUESTS.pending_of(REQUESTS.events_of(batch, 100), NOW_MS, SECRETS)
    assert asked.rows is not None
    door = PendingDecisions(pending, still)
    assert len(door.answer([nobody(PIPELINE.scored, NOW_MS)])) == 1
    decisions = door.answer([asked.rows])
    found = [REQUESTS.question_of(one) for one in questions]
    moments = Moments(PROJECT, reader, still, secrets=SECRETS).answer(
        [Asked(one, one.now_ms or NOW_MS) for one in found]
    )
    return {
        "project": PROJECT.name, "columns": SERVICE.columns,
        "predictions": [msgspec.to_builtins(one) for one in read], "pending": decisions, "moments": moments,
        "refused": [_code(b"{}"), _code(b'{"nothing": 1}')],
        "learner_refused": read_predictions(said, SeriesNumbers(), PROJECT).refused,
    }  # fmt: skip


def _code(document: bytes) -> str:
    try:
        REQUESTS.question_of(document)
    except ServeError as error:
        return error.code
    return ""


if __name__ == "__main__":
    given = json.load(sys.stdin)
    parts = ([json.dumps(one).encode() for one in given[name]] for name in ("events", "questions"))
    sys.stdout.write("\n" + json.dumps(main(*parts)))
