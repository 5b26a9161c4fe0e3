"""Streams whose change is known: a training part, then a stream that changes once, or not at all.

All but `plain` have a week's rhythm: more payments by day, other amounts at night and on weekends. Times are
the workloads' (`feature_repo.generator.rhythm`), four weeks of training and two of stream.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_repo.generator.rhythm import moments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MONDAY_MS = 1_522_627_200_000
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
TRAINING_DAYS, STREAM_DAYS = 28, 14
ROWS_A_DAY = 3000
TRAINING_ROWS_A_DAY = 1500
HANDBOOK_FILE = "transactions-2018q2.parquet"
HANDBOOK_SEEDS = 5

Kind = Literal["number", "missing", "share"]


class Stream(NamedTuple):
    """Training values (N,) with their times, stream values (n,) with theirs, the row that begins a change."""

    training: Floats
    training_ms: Ints
    values: Floats
    event_ms: Ints
    change_at: int | None


class Scene(NamedTuple):
    """A kind of stream; `every_row` says that it is not sampled, as errors are not."""

    name: str
    about: str
    kind: Kind
    make: Callable[[np.random.Generator], Stream]
    every_row: bool = False
    seeds: int = 10


def _times(days: int, rows_a_day: int, rng: np.random.Generator) -> Ints:
    return np.sort(moments(days * rows_a_day, float(days), 0.0, rng)) + MONDAY_MS


def _season(event_ms: Ints, size: float = 1.0) -> Floats:
    """Return by how many deviations amounts are usually larger at a moment: nights 0.4, weekends 0.3."""
    night = (event_ms // HOUR_MS) % 24 < 6
    weekend = ((event_ms - MONDAY_MS) // DAY_MS) % 7 >= 5
    return size * (0.4 * night + 0.3 * weekend)


def _stream(
    draw: Callable[[Ints, Floats, np.random.Generator], Floats],
    ramp_days: float = 0.0,
    changes: bool = True,
) -> Callable[[np.random.Generator], Stream]:
    """Return a maker of streams: `draw` gets times and how far the change has come, 0 to 1, of each row."""

    def make(rng: np.random.Generator) -> Stream:
        training_ms = _times(TRAINING_DAYS, TRAINING_ROWS_A_DAY, rng)
        event_ms = _times(STREAM_DAYS, ROWS_A_DAY, rng) + TRAINING_DAYS * DAY_MS
        change_at = int(rng.integers(int(0.4 * len(event_ms)), int(0.6 * len(event_ms))))
        since = (event_ms - event_ms[change_at]) / DAY_MS
        come = np.clip(since / ramp_days, 0, 1) if ramp_days else (since >= 0).astype(np.float64)
        come = come if changes else np.zeros(len(event_ms))
        return Stream(
            draw(training_ms, np.zeros(len(training_ms)), rng), training_ms, draw(event_ms, come, rng),
            event_ms, change_at if changes else None,
        )  # fmt: skip

    return make


def _amounts(
    shift: float = 0.0, spread: float = 1.0, season: float = 1.0
) -> Callable[[Ints, Floats, np.random.Generator], Floats]:
    """Return a drawer of lognormal amounts whose logarithm moves by `shift` deviations, or spreads."""

    def draw(event_ms: Ints, come: Floats, rng: np.random.Generator) -> Floats:
        noise = rng.normal(size=len(event_ms)) * (1 + come * (spread - 1))
        return np.asarray(np.exp(8.0 + _season(event_ms, season) + come * shift + noise))

    return draw


def _missing(event_ms: Ints, come: Floats, rng: np.random.Generator) -> Floats:
    values = _amounts()(event_ms, np.zeros(len(event_ms)), rng)
    values[rng.random(len(values)) < 0.01 + 0.05 * come] = np.nan
    return values


def _categories(event_ms: Ints, come: Floats, rng: np.random.Generator) -> Floats:
    """Four codes; two pairs of them change places so that the mean of the codes stays."""
    usual, other = np.array([0.40, 0.30, 0.20, 0.10]), np.array([0.50, 0.10, 0.30, 0.10])
    draws = rng.random(len(event_ms))
    before, after = (np.searchsorted(np.cumsum(p)[:-1], draws, side="right") for p in (usual, other))
    return np.where(come > 0, after, before).astype(np.float64)


def _bits(usual: float, later: float) -> Callable[[Ints, Floats, np.random.Generator], Floats]:
    def draw(event_ms: Ints, come: Floats, rng: np.random.Generator) -> Floats:
        chance = (usual + (later - usual) * come) * (1 + 0.5 * _season(event_ms))
        return (rng.random(len(event_ms)) < chance).astype(np.float64)

    return draw


def _handbook(file: Path, factor: float) -> Callable[[np.random.Generator], Stream]:
    """Return a maker of two weeks of the handbook's real column, amounts multiplied from a moment on."""

    def make(rng: np.random.Generator) -> Stream:
        table = pq.read_table(file, columns=["event_time", "amount_minor"])
        event_ms = table["event_time"].to_numpy()
        amount = table["amount_minor"].to_numpy().astype(np.float64)
        first, last = int(event_ms[0]) // DAY_MS * DAY_MS, int(event_ms[-1])
        days = (last - first) // DAY_MS - TRAINING_DAYS - STREAM_DAYS
        begin_ms = first + int(rng.integers(TRAINING_DAYS, TRAINING_DAYS + days)) * DAY_MS
        training = (event_ms >= begin_ms - TRAINING_DAYS * DAY_MS) & (event_ms < begin_ms)
        rows = (event_ms >= begin_ms) & (event_ms < begin_ms + STREAM_DAYS * DAY_MS)
        values, times = amount[rows].copy(), event_ms[rows]
        change_at = int(rng.integers(int(0.4 * len(values)), int(0.6 * len(values))))
        values[change_at:] *= factor
        return Stream(
            amount[training], event_ms[training], values, times, None if factor == 1.0 else change_at
        )

    return make


SCENES: tuple[Scene, ...] = (
    Scene("plain", "nothing changes, no rhythm", "number", _stream(_amounts(season=0.0), changes=False)),
    Scene("season", "nothing changes but hours and weekdays", "number", _stream(_amounts(), changes=False)),
    Scene("shift-small", "amounts up by 0.25 deviations", "number", _stream(_amounts(shift=0.25))),
    Scene("shift", "amounts up by 0.5 deviations", "number", _stream(_amounts(shift=0.5))),
    Scene("gradual", "the same within three days", "number", _stream(_amounts(shift=0.5), ramp_days=3.0)),
    Scene("variance", "spread of amounts up by half, same middle", "number", _stream(_amounts(spread=1.5))),
    Scene("category", "categories change places, same mean", "number", _stream(_categories)),
    Scene("missing", "null values from 1 to 6 %", "missing", _stream(_missing)),
    Scene("refused", "refused payments from 1 to 2 %", "share", _stream(_bits(0.01, 0.02))),
    Scene("refused-season", "1 % refused, more at night", "share", _stream(_bits(0.01, 0.01), changes=False)),
    Scene("error", "errors from 2 to 4 %", "share", _stream(_bits(0.02, 0.04)), every_row=True),
)  # fmt: skip


def handbook_scenes(folder: Path) -> tuple[Scene, ...]:
    """Return the scenes on the handbook's amounts, none where the data is not there."""
    file = folder / HANDBOOK_FILE
    if not file.exists():
        return ()
    return (
        Scene(
            "handbook", "the handbook's amounts as they are", "number", _handbook(file, 1.0),
            seeds=HANDBOOK_SEEDS,
        ),
        Scene(
            "handbook-shift", "the handbook's amounts, up by a quarter from a moment on", "number",
            _handbook(file, 1.25), seeds=HANDBOOK_SEEDS,
        ),
    )  # fmt: skip
