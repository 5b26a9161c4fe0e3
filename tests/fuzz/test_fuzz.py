"""A short run of every decoder, and the proof that a run sees what it is there to see."""

import json
from pathlib import Path

import pytest

from tests.fuzz.__main__ import done, main
from tests.fuzz.decoders import DECODERS
from tests.fuzz.mutate import mutated
from tests.fuzz.runner import Asked, run

SHORT = 300
SLOW = {"model_text": 40, "policy": 40, "contract": 25, "produce_parquet": 100}
ALONE = ("packed_tiles", "frame_customer", "redis_row")  # what takes memory is tried in processes of its own


@pytest.mark.parametrize("name", sorted(set(DECODERS) - set(ALONE)))
def test_no_input_is_believed_or_ends_in_an_error_without_a_code(name: str) -> None:
    decoder = DECODERS[name]()
    for number in range(SLOW.get(name, SHORT)):
        assert decoder.check(mutated(decoder.seeds, 7, number))
    assert all(decoder.check(seed) for seed in decoder.seeds)


@pytest.mark.parametrize("name", ALONE)
def test_no_input_crashes_or_hangs_a_process_or_takes_its_memory(name: str) -> None:
    result = run(Asked(name, seed=7, first=0, count=3000))
    assert result.faults == []
    assert result.count == sum(result.outcomes.values()) == 3000


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", sorted(DECODERS))
def test_ten_million_inputs(name: str) -> None:
    assert main([name, "--resume"]) == 0


def test_a_decoder_that_believes_its_bytes_is_found() -> None:
    result = run(Asked("believes", seed=7, first=0, count=300, broken=True))
    assert any("are believed" in fault["fault"] for fault in result.faults)
    assert all(bytes.fromhex(fault["input"]) for fault in result.faults)


@pytest.mark.parametrize(
    ("name", "what"), [("crashes", "ended with -11"), ("hangs", "no end in"), ("eats", "MemoryError")]
)
def test_a_decoder_that_dies_of_an_input_is_found_and_the_rest_goes_on(name: str, what: str) -> None:
    inputs = [mutated([b"\x01\x02\x03\x04"], 7, number) for number in range(60)]
    wrong = [n for n, data in enumerate(inputs) if data[:1] == b"\xff"]
    first = wrong[0]
    result = run(Asked(name, seed=7, first=max(0, first - 3), count=6, broken=True), silent_s=2.0)
    assert result.count == 6
    assert result.faults[0]["number"] == first
    assert what in result.faults[0]["fault"]


def test_a_run_that_ends_early_counts_what_was_tried() -> None:
    result = run(Asked("raises", seed=7, first=5, count=300, broken=True))
    assert (result.count, len(result.faults)) == (20, 20)
    assert [fault["number"] for fault in result.faults] == list(range(5, 25))


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    words = ["marker", "--seed", "3", "--part", "30", "--results", str(tmp_path), "--resume", "--no-bounds"]
    assert main([*words, "--count", "30"]) == main([*words, "--count", "60"]) == 0
    path = tmp_path / "marker.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["first"], line["count"], line["faults"]) for line in lines] == [(0, 30, []), (30, 30, [])]
    assert (done(path, 3), done(path, 4)) == (60, 0)
    assert sum(lines[1]["outcomes"].values()) == 30
