"""What somebody accepted as lost need not have come through; all beside it must."""

import numpy as np
import pytest

from load.oracle.dump import Dump, Lost
from load.oracle.judge import Judge
from load.oracle.letters import origin_of
from load.oracle.planted import drop_prediction, skip_letter
from tests.unit.load.make_small_run import read

SCORED, LETTERS = "transactions", "transactions.dlq"


@pytest.fixture(scope="module")
def dump() -> Dump:
    return read()


@pytest.fixture(scope="module")
def sound(dump: Dump) -> Judge:
    return Judge(dump)


def without_prediction(dump: Dump) -> tuple[Dump, Lost]:
    """Return a copy in which one event was never predicted, and the loss that says so."""
    copy = dump.copy()
    before = {(one.partition, one.offset): one for one in copy.topics["predictions"]}
    drop_prediction(copy, np.random.default_rng(4))
    (gone,) = before.keys() - {(one.partition, one.offset) for one in copy.topics["predictions"]}
    copy.lake["predictions"].remove(gone)
    said = before[gone].value or b""
    at, _, rest = said.partition(b'"source":{"topic":"transactions","partition":')[2].partition(b",")
    offset = int(rest.partition(b":")[2].partition(b"}")[0])
    return copy, Lost(SCORED, int(at), offset, offset + 1)


def test_an_accepted_loss_is_none(dump: Dump, sound: Judge) -> None:
    copy, lost = without_prediction(dump)
    assert (sound.judge(copy).counts["lost"], sound.judge(copy).counts["conservation"]) == (1, 1)
    copy.lost = [lost]
    assert sound.judge(copy).clean, sound.judge(copy).examples


@pytest.mark.parametrize("change", [(1, 2), (-2, -1)])
def test_a_loss_beside_it_excuses_nothing(dump: Dump, sound: Judge, change: tuple[int, int]) -> None:
    copy, lost = without_prediction(dump)
    copy.lost = [Lost(SCORED, lost.partition, lost.frm + change[0], lost.frm + change[1])]
    assert sound.judge(copy).counts["lost"] == 1


def test_a_refused_record_that_was_lost_needs_no_letter(dump: Dump, sound: Judge) -> None:
    copy = dump.copy()
    before = {origin_of(one) for one in copy.topics[LETTERS]}
    for seed in range(20):
        copy = dump.copy()
        skip_letter(copy, np.random.default_rng(seed))
        (gone,) = before - {origin_of(one) for one in copy.topics[LETTERS]}
        if gone.topic == SCORED:
            break
    assert sound.judge(copy).counts["dlq_missing"] == 1
    copy.lost = [Lost(gone.topic, gone.partition, gone.offset, gone.offset + 1)]
    counts = sound.judge(copy).counts
    assert (counts["dlq_missing"], counts["conservation"]) == (0, 0)
