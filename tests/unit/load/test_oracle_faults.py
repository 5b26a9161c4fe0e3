"""The oracle catches each fault planted in a small real run, whatever the seed draws."""

import msgspec
import pytest

from load.oracle.dump import Dump
from load.oracle.judge import Judge
from load.oracle.letters import header
from load.oracle.planted import FAULTS, Unfit, between, plant, plant_all
from tests.unit.load.make_small_run import read

SEEDS, FEW_SEEDS = 50, 12  # few where all that is drawn from is of one kind; the long run draws 50 of each
LETTERS = "transactions.dlq"


@pytest.fixture(scope="module")
def dump() -> Dump:
    return read()


@pytest.fixture(scope="module")
def sound(dump: Dump) -> Judge:
    return Judge(dump)


def test_the_run_is_sound_and_has_something_of_each_kind(dump: Dump, sound: Judge) -> None:
    verdict = sound.judge(dump)
    assert verdict.clean, verdict.examples
    letters = dump.topics[LETTERS]
    assert {header(one, "stage") for one in letters} == {"gate", "customer", "terminal", "scorer"}
    assert {header(one, "code") for one in letters if header(one, "topic") in between(dump)} >= {
        "E_FRAME_MAGIC", "E_FRAME_SCHEMA", "E_FRAME_LENGTH", "E_FRAME_KIND", "E_FRAME_TYPES", "E_FRAME_LANE",
        "E_FRAME_JUMP",
    }  # fmt: skip
    assert "E_DUP_CONFLICT" in {header(one, "code") for one in letters}


ALL = pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda number: FAULTS[number][0].__name__)


def missed(dump: Dump, sound: Judge, number: int, seeds: int) -> list[int]:
    """Return the seeds with which a planted fault is not caught."""
    return [seed for seed in range(seeds) if not plant(dump, sound, number, seed).caught]


@ALL
def test_each_fault_is_caught_whatever_is_drawn(dump: Dump, sound: Judge, number: int) -> None:
    seeds = SEEDS if FAULTS[number][1].startswith("dlq_") else FEW_SEEDS
    assert missed(dump, sound, number, seeds) == []


@pytest.mark.long
@ALL
def test_each_fault_is_caught_by_many_seeds(dump: Dump, sound: Judge, number: int) -> None:
    assert missed(dump, sound, number, SEEDS) == []


@pytest.mark.parametrize("number", range(2))
def test_each_letter_is_compared_in_code_and_bytes(dump: Dump, sound: Judge, number: int) -> None:
    """Not only those that a seed draws: a change of any one letter is found."""
    changes = (
        lambda one: msgspec.structs.replace(
            one, headers=[(k, b"E_OTHER" if k.endswith(".code") else v) for k, v in one.headers]
        ),
        lambda one: msgspec.structs.replace(one, value=(one.value or b"") + b" "),
    )
    for at, letter in enumerate(dump.topics[LETTERS]):
        copy = dump.copy()
        copy.topics[LETTERS][at] = changes[number](letter)
        assert sound.judge(copy).counts["dlq_extra"] == 1, letter


def test_a_run_without_strangers_is_no_proof_and_says_so(dump: Dump) -> None:
    copy = dump.copy()
    copy.topics[LETTERS] = [one for one in copy.topics[LETTERS] if header(one, "topic") not in between(dump)]
    with pytest.raises(Unfit, match="a stranger's record"):
        list(plant_all(copy))
