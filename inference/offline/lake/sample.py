"""Records of a dataset drawn at random, the same for the same lake and seed."""

import numpy as np
import pyarrow as pa

from inference.offline.lake.lake import Lake, read_file


def draw(lake: Lake, dataset: str, count: int, seed: int) -> list[bytes]:
    """Return the bytes of up to `count` records, drawn without repeats, in log order.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    total = lake.read(dataset, ["offset"]).num_rows
    rows = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))
    found: list[bytes] = []
    before = 0
    for file in lake.files(dataset):
        number = read_file(file, ["offset"]).num_rows
        mine = rows[(rows >= before) & (rows < before + number)] - before
        if len(mine):
            found += read_file(file, ["value"])["value"].take(pa.array(mine)).to_pylist()
        before += number
    return found
