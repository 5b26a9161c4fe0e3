"""What strangers write between the stages is refused by the readers and by the oracle alike."""

from typing import Any

import numpy as np
import pytest

from contracts.frame import Frame, FrameError, Kind, encode, position
from contracts.frame_check import FrameReader
from contracts.raw import RawBatch
from contracts.verdict import judge
from load.chaos import collect
from load.chaos.malformed import CHANGES, strange
from load.oracle.sources import ProjectOracle
from load.oracle.strangers import FrameOracle
from load.this_project import PIPELINE, PROJECT

RULES = FrameOracle(ProjectOracle(collect.declared(PROJECT, 1, 1)))
ENDS = {"transactions/0": 10}
ROW = (
    b'{"transaction_id":"t%d","event_time":1700000000000,"customer_id":"c1","terminal_id":"m1",'
    b'"amount_minor":100,"currency":"EUR"}'
)


class Ends:
    """The ends of the lanes' inputs."""

    def seen(self, src: str) -> int:
        return ENDS.get(src, 0)

    def now(self, src: str) -> int | None:
        return ENDS.get(src)


def ours() -> bytes:
    batch = RawBatch.of([(0, n, 1_700_000_000_100, b"c1", ROW % n, None) for n in range(3)])
    rows: Any = judge(PIPELINE.scored, batch).good
    return encode(Frame("transactions/0", 0, position(3), True, Kind.SCORED, rows))


def refused_with(data: bytes) -> str:
    """Return the code that a reader of the service refuses a record with, empty when it takes it."""
    try:
        FrameReader("events.customer", PIPELINE, ends=Ends()).read(data, {})
    except FrameError as error:
        return error.code
    return ""


def test_a_record_of_the_stage_is_taken() -> None:
    assert not refused_with(ours())
    assert RULES.is_ours(ours(), "events.customer", ENDS)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_each_change_makes_a_record_that_nobody_takes(change: Any) -> None:
    for seed in range(20):
        data = change(ours(), np.random.default_rng(seed)) or b""
        code = refused_with(data)
        assert code
        assert RULES.code_due(data, "events.customer", ENDS) == code, data


def test_without_a_record_of_ours_there_are_random_bytes() -> None:
    assert refused_with(strange([], np.random.default_rng(2)) or b"") == "E_FRAME_MAGIC"
