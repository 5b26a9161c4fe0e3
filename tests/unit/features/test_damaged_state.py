"""Packed state that is not as it was written is refused by every bit, and nothing it says can do harm."""

import zlib

import numpy as np
import pytest

from contracts.errors import StateError
from contracts.frame import Columns, Kind, strings
from features.checksum import TABLES, crc32, put_sums
from features.definition import DAY_MS, Entity
from features.finalise import Finaliser
from features.packed_words import PackedRuns, walk
from features.state import PACKED_VERSION, EntityState
from load.this_project import CUSTOMER, TERMINAL

START_MS = 1_700_000_000_000
HEAD = 9  # form and definitions


def written(entity: Entity, count: int = 120) -> bytes:
    rng = np.random.default_rng(4)
    rows: Columns = {
        "pos": np.arange(count), "customer_id": strings(["c1"] * count),
        "terminal_id": strings([f"m{n}" for n in rng.integers(0, 9, count)]),
        "event_time": START_MS + np.sort(rng.integers(0, 20 * DAY_MS, count)),
        "amount_minor": rng.integers(0, 90_000, count),
    }  # fmt: skip
    if entity is TERMINAL:
        rows["terminal_id"] = strings(["c1"] * count)
    state = EntityState(entity)
    state.apply(rows, Kind.SCORED)
    return state.export(strings(["c1"]))[0]


@pytest.mark.parametrize("entity", [CUSTOMER, TERMINAL], ids=lambda entity: entity.name)
def test_no_flipped_bit_is_believed(entity: Entity) -> None:
    good, finaliser, now_ms = written(entity), Finaliser(entity), np.array([START_MS + 30 * DAY_MS])
    assert not finaliser.at([good], now_ms).unreadable[0]
    flipped = []
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(data))
    found = finaliser.at([*flipped, good], np.repeat(now_ms, len(flipped) + 1))
    assert found.unreadable[:-1].all()
    assert not found.unreadable[-1]
    assert np.isnan(found.values[:-1]).all()
    assert found.damaged[8 * HEAD : -1].all()
    assert not found.damaged[: 8 * HEAD].any()  # of other definitions, or another form


@pytest.mark.parametrize("cut", [1, 8, 9, 12, 13, 40])
def test_a_cut_state_is_refused(cut: int) -> None:
    with pytest.raises(StateError, match=r"E_STATE_(CHECKSUM|DEFINITIONS|FORM)"):
        EntityState(CUSTOMER).load([b"k"], [written(CUSTOMER)[:cut]])


def test_the_form_before_this_one_is_refused_by_name() -> None:
    old = bytes([PACKED_VERSION - 1]) + written(CUSTOMER)[1:]
    with pytest.raises(StateError, match=r"E_STATE_FORM.*form 2.*backfill --warm"):
        EntityState(CUSTOMER).load([b"k"], [old])


@pytest.mark.parametrize("entity", [CUSTOMER, TERMINAL], ids=lambda entity: entity.name)
def test_bytes_with_a_right_checksum_stay_within_bounds(entity: Entity) -> None:
    """A length that says more than there is ends in a code, not in all memory or in foreign bytes."""
    good, rng = written(entity), np.random.default_rng(8)
    refused = 0
    for _ in range(400):
        data = np.frombuffer(good, np.uint8).copy()
        for at in rng.integers(HEAD + 4, len(data), rng.integers(1, 4)):
            data[at] = rng.choice([0, 127, 128, 255, rng.integers(256)])
        data = data[: len(data) - rng.integers(0, 3)]
        put_sums(data, np.array([0]), np.array([len(data)]), HEAD, TABLES)
        state = EntityState(entity, forgets=False)
        try:
            state.load([b"k"], [data.tobytes()])
        except StateError as error:
            refused += error.code == "E_STATE_BYTES"
    assert refused > 100


def test_the_checksum_is_zlibs() -> None:
    rng = np.random.default_rng(1)
    for size in [*range(40), 1000]:
        data = rng.integers(0, 256, size).astype(np.uint8)
        assert crc32(data, 0, size, TABLES) == zlib.crc32(data.tobytes())


@pytest.mark.parametrize(
    ("words", "fits"),
    [([2, 7, 7, 8, 8], True), ([3, 7, 7, 8, 8], False), ([-1, 7, 7, 8, 8], False), ([1, 7, 7], True),
     ([2**62, 7, 7, 8, 8], False)],
)  # fmt: skip
def test_runs_of_a_part_end_within_their_record(words: list[int], fits: bool) -> None:
    offsets = np.array([0])
    assert walk(np.array(words), np.array([len(words)]), offsets, PackedRuns(0, 1, 2, 9)) == fits
