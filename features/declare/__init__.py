"""What a project's `features.py` imports: sources, entities, views, aggregations, models, the project.

Declarations only say what is wanted: they are immutable, know where they were written, and refuse nothing;
`features.project` checks all of them at once and turns them into what the engine runs.
"""

from features.declare.aggregate import (
    Aggregate,
    count,
    decayed_sum,
    distinct,
    first_of,
    first_seen,
    last_of,
    last_values,
    max_of,
    mean_of,
    min_of,
    positives,
    quantile_of,
    same_as_last,
    share,
    since_first,
    since_last,
    std_of,
    sum_of,
    top_share,
)
from features.declare.entity import Entity
from features.declare.model import CLOCK_FIELDS, Model
from features.declare.project import Decision, Project
from features.declare.source import Source
from features.declare.view import DeclaredBatchView, DeclaredView, batch_view, view
from features.declare.written_at import WrittenAt

__all__ = [
    "CLOCK_FIELDS", "Aggregate", "Decision", "DeclaredBatchView", "DeclaredView", "Entity", "Model",
    "Project", "Source", "WrittenAt", "batch_view", "count", "decayed_sum", "distinct", "first_of",
    "first_seen", "last_of", "last_values", "max_of", "mean_of", "min_of", "positives", "quantile_of",
    "same_as_last", "share", "since_first", "since_last", "std_of", "sum_of", "top_share", "view",
]  # fmt: skip
