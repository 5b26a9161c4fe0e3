"""One expression language for filters, derived features and rules: see docs/expressions.md.

Written in Python it is operators on `col`, in YAML it is text; both are the same tree, which has one type
against a schema of columns, one canonical text, one hash, and one meaning for a batch of rows.
"""

from features.expressions.build import (
    Expression,
    coalesce,
    col,
    hour,
    log1p,
    maximum,
    minimum,
    ratio,
    tree_of,
    weekday,
)
from features.expressions.evaluate import Nullable, Program
from features.expressions.infer import check_filter, infer
from features.expressions.parse import parse
from features.expressions.text import content_hash, describe, text
from features.expressions.tree import Tree, substitute
from features.expressions.types import (
    Schema,
    Type,
    boolean,
    decimal,
    integer,
    number,
    text_type,
    time,
)

__all__ = [
    "Expression", "Nullable", "Program", "Schema", "Tree", "Type", "boolean", "check_filter",
    "coalesce", "col", "content_hash", "decimal", "describe", "hour", "infer", "integer", "log1p", "maximum",
    "minimum", "number", "parse", "ratio", "substitute", "text", "text_type", "time",
    "tree_of", "weekday",
]  # fmt: skip
