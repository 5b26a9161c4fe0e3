"""The oracle itself, on planted faults: it must see each of them in what a good run left behind."""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from load.oracle.frames import read_frame
from tests.simulation import judgement, simulation
from tests.simulation.oracle_pipeline import Durable

SEED = 4


def drop_one(left: Durable) -> Durable:
    return left._replace(predictions=left.predictions[1:])


def double_one(left: Durable) -> Durable:
    return left._replace(predictions=[*left.predictions, left.predictions[-1]])


def other_score(left: Durable) -> Durable:
    said = json.loads(left.predictions[0])
    said["score"] += 2.0**-52
    return left._replace(predictions=[json.dumps(said).encode(), *left.predictions[1:]])


def flip_a_bit(left: Durable) -> Durable:
    """The lowest bit of an as-of value in a record of features.log."""
    place = next(p for p, log in sorted(left.frames.items()) if p[0] == "features.log" and log)
    log = list(left.frames[place])
    values = read_frame(log[0]).rows[0]["terminal_values"]
    at = log[0].index(struct.pack(f"<{len(values)}d", *values))
    log[0] = log[0][:at] + bytes([log[0][at] ^ 1]) + log[0][at + 1 :]
    return left._replace(frames={**left.frames, place: log})


def lose_a_record(left: Durable) -> Durable:
    place = next(p for p, log in sorted(left.frames.items()) if p[0] == "events.customer" and log)
    return left._replace(frames={**left.frames, place: left.frames[place][:-1]})


def older_row(left: Durable) -> Durable:
    key = min(left.store)
    row = left.store[key]
    return left._replace(store={**left.store, key: row._replace(position=row.position - 1)})


def other_state(left: Durable) -> Durable:
    key = min(left.states)
    values = [left.states[key].values[0] + 1.0, *left.states[key].values[1:]]
    return left._replace(states={**left.states, key: left.states[key]._replace(values=values)})


def no_letters(left: Durable) -> Durable:
    return left._replace(letters=dict.fromkeys(left.letters, ()))


PLANTED = (
    drop_one, double_one, other_score, flip_a_bit, lose_a_record, older_row, other_state, no_letters,
)  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_fault_is_seen(
    plant: Callable[[Durable], Durable], monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = judgement.durable

    def planted(run: Any) -> Durable:
        return plant(gather(run))

    assert simulation.simulate(SEED).wrong == []
    monkeypatch.setattr(judgement, "durable", planted)
    assert simulation.simulate(SEED).wrong
