"""What is usual, as training saw it: the baseline that drift is held against (`inference.drift.baseline`)."""

import numpy as np
from numpy.typing import NDArray

from features.definition import DAY_MS
from inference.drift.baseline import ROWS_MIN, Baseline, measure, with_columns
from inference.drift.full_windows import NEVER_MS, Began, first_ms, from_ms, reaches_of
from inference.drift.partition_watch import NULL_SHARE, REFUSED, SCORE, null_share_of, reach_of
from inference.drift.sample import Chunk
from inference.drift.season import CALENDAR
from inference.drift.spread import with_spread
from inference.offline.training.training_set import TrainingSet

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
FULL_DAYS_MIN = 3  # of rows with full windows: fewer do not say how days differ
DAYS_MIN = 28  # of the newest rows: every part of the week four times


def usual(data: TrainingSet, begin_ms: int, judged: Mask, score: Floats, refused: Floats) -> Baseline:
    """Return the baseline of a training.

    Inputs are of the newest rows, those since validation began or of four weeks, and the scores of rows that
    were not learnt. Rows from before a column's windows were full are left out of it, and a column with too
    few others is left out.

    Args:
        begin_ms: when validation began.
        judged: (n,) the rows that were not learnt, m of them.
        score: (m,) their scores.
        refused: (m,) 1 where the score alone would have refused, else 0.
    """
    known, began = labelled_alike(data), _began(data)
    newest = known & (data.event_ms > min(begin_ms, int(data.event_ms[-1]) - DAYS_MIN * DAY_MS))
    columns, reaches = data.project.service.columns, reaches_of(data.project)
    names = [name for name in columns if name not in CALENDAR]
    vectors = data.vectors[newest]
    null = ~np.isfinite(vectors[:, null_share_of(columns, reaches)])
    rows = Chunk(vectors[:, [columns.index(name) for name in names]], data.event_ms[newest])
    last_ms = int(rows.event_ms.max(initial=0)) - FULL_DAYS_MIN * DAY_MS
    begins = [from_ms(reach_of(name, reaches), began) for name in names]
    full = [begin if begin <= last_ms else NEVER_MS for begin in begins]
    shares = {NULL_SHARE: null.mean(axis=1)}
    inputs = with_spread(measure(names, *rows, shares, full), names, rows, shares, full)
    kept = known[judged] if known[judged].sum() >= ROWS_MIN else np.ones(len(score), np.bool_)
    rows, shares = Chunk(score[kept][:, None], data.event_ms[judged][kept]), {REFUSED: refused[kept]}
    full = [from_ms(reach_of(SCORE, reaches), began)]
    scores = measure([SCORE], *rows, shares, full, computed=True)
    return with_columns(inputs, with_spread(scores, [SCORE], rows, shares, full))


def labelled_alike(data: TrainingSet) -> Mask:
    """Return the rows that are old enough for nearly every label to be there.

    The first labels of a day are not those of a common event: positives are known sooner. All rows are
    returned where there would be too few.
    """
    older = data.event_ms <= np.median(data.event_ms)
    delay_ms = np.quantile((data.label_ms - data.event_ms)[older], 0.95) if older.any() else 0.0
    known = data.event_ms <= data.until_ms - delay_ms
    return known if known.sum() >= ROWS_MIN else np.ones(len(data), np.bool_)


def _began(data: TrainingSet) -> Began:
    """Return when the stream began; with its first row here where the lake was not asked."""
    events_ms, labels_ms = data.began
    return Began(
        first_ms(data.event_ms) if events_ms is None else events_ms,
        first_ms(data.label_ms) if labels_ms is None else labels_ms,
    )
