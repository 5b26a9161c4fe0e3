"""Ways to fold the rows of a window, one idea a file."""

from features.aggregations.base import NULL, Aggregation, Op
from features.aggregations.count import Count
from features.aggregations.distinct import Distinct
from features.aggregations.last import Last, SinceLast
from features.aggregations.max import Max
from features.aggregations.mean import Mean
from features.aggregations.min import Min
from features.aggregations.std import Std
from features.aggregations.sum import Sum

__all__ = [
    "NULL",
    "Aggregation",
    "Count",
    "Distinct",
    "Last",
    "Max",
    "Mean",
    "Min",
    "Op",
    "SinceLast",
    "Std",
    "Sum",
]
