"""Ways to fold the rows of a window, one idea a file."""

from features.aggregations.base import NULL, Aggregation, Kept, Op
from features.aggregations.count import Count
from features.aggregations.decayed_sum import DecayedSum
from features.aggregations.distinct import Distinct
from features.aggregations.first import First, SinceFirst
from features.aggregations.first_seen import FirstSeen
from features.aggregations.last import Last, SinceLast
from features.aggregations.last_k import LastK
from features.aggregations.max import Max
from features.aggregations.mean import Mean
from features.aggregations.min import Min
from features.aggregations.quantile import Quantile
from features.aggregations.same_as_last import SameAsLast
from features.aggregations.std import Std
from features.aggregations.sum import Sum
from features.aggregations.top_share import TopShare

__all__ = [
    "NULL",
    "Aggregation",
    "Count",
    "DecayedSum",
    "Distinct",
    "First",
    "FirstSeen",
    "Kept",
    "Last",
    "LastK",
    "Max",
    "Mean",
    "Min",
    "Op",
    "Quantile",
    "SameAsLast",
    "SinceFirst",
    "SinceLast",
    "Std",
    "Sum",
    "TopShare",
]
