"""What a model is given, and which labels it learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from features.declare.source import Source
from features.declare.view import DeclaredBatchView, DeclaredView
from features.declare.written_at import WrittenAt, written_at
from features.expressions import Expression

CLOCK_FIELDS = ("hour_of_day", "is_night", "is_weekend")  # what every event says by its time, in UTC


@dataclass(frozen=True, eq=False, init=False)
class Model:
    """A model's inputs in order: fields of the event, features of views entity by entity, derived features.

    Args:
        event: fields of the scored source, or `hour_of_day`, `is_night` and `is_weekend` of its time.
        views: views and batch views, all features of each.
        derived: formulas over the inputs before them, by name.
        label: the source of labels; None for a model that is not trained here.
        watched: the inputs whose mean is watched for drift, beside all distributions; without any the numbers
            of the event and the first feature of each entity.

    >>> from features.expressions import col, ratio
    >>> model = Model("risk", event=["amount"], derived={"share": ratio(col("amount"), 100)})
    >>> dict(model.derived)
    {'share': amount / 100}
    """

    name: str
    event: tuple[str, ...]
    views: tuple[DeclaredView | DeclaredBatchView, ...]
    derived: tuple[tuple[str, Expression], ...]
    label: Source | None
    watched: tuple[str, ...]
    written: WrittenAt = field(repr=False)

    def __init__(
        self, name: str, *, event: Sequence[str] = (), views: Sequence[DeclaredView | DeclaredBatchView] = (),
        derived: Mapping[str, Expression] | None = None, label: Source | None = None,
        watched: Sequence[str] = (),
    ) -> None:  # fmt: skip
        given = {
            "name": name, "event": tuple(event), "views": tuple(views), "label": label,
            "derived": tuple((derived or {}).items()), "watched": tuple(watched), "written": written_at(),
        }  # fmt: skip
        for attribute, value in given.items():
            object.__setattr__(self, attribute, value)
