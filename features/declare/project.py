"""A use case: which records ask for a decision, whom they pass on their way, and what is said of them."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field

from features.declare.entity import Entity
from features.declare.model import Model
from features.declare.source import Source
from features.declare.view import DeclaredBatchView, DeclaredView
from features.declare.written_at import WrittenAt, written_at


@dataclass(frozen=True)
class Decision:
    """One of a project's decisions.

    Args:
        queue: whether people look at what is decided so.
        stops: whether the event is stopped: a false alarm then costs, and a positive is averted.
    """

    name: str
    _: KW_ONLY
    queue: bool = False
    stops: bool = False


@dataclass(frozen=True, eq=False, init=False)
class Project:
    """All declarations of one use case.

    Args:
        name: prefix of its topics, and its name in Feast.
        scored: the source whose records each ask for a decision.
        chain: the entities in the order in which a record visits their stages.
        models: with the views they are given.
        views: views that no model is given, kept for whoever reads features.
        decisions: from the mildest to the severest; without them those of `policy.yaml`.
        money: the measure that says what a record is worth, in the currency that its contract names.
        feast_name: another name in Feast than the project's.

    >>> logins = Source("contracts/logins.yaml")
    >>> project = Project("logins", scored=logins, chain=[Entity("account_id")])
    >>> project.all_views, [source.name for source in project.sources]
    ((), ['logins'])
    """

    name: str
    scored: Source
    chain: tuple[Entity, ...]
    models: tuple[Model, ...]
    views: tuple[DeclaredView | DeclaredBatchView, ...]
    decisions: tuple[Decision, ...]
    money: str
    feast_name: str
    written: WrittenAt = field(repr=False)

    def __init__(
        self, name: str, *, scored: Source, chain: Sequence[Entity], models: Sequence[Model] = (),
        views: Sequence[DeclaredView | DeclaredBatchView] = (), decisions: Sequence[Decision] = (),
        money: str = "", feast_name: str = "",
    ) -> None:  # fmt: skip
        given = {
            "name": name, "scored": scored, "chain": tuple(chain), "models": tuple(models),
            "views": tuple(views), "decisions": tuple(decisions), "money": money,
            "feast_name": feast_name or name, "written": written_at(),
        }  # fmt: skip
        for attribute, value in given.items():
            object.__setattr__(self, attribute, value)

    @property
    def all_views(self) -> tuple[DeclaredView | DeclaredBatchView, ...]:
        """Every view once, in the order in which models and project name them."""
        found = [*(view for model in self.models for view in model.views), *self.views]
        return tuple(dict.fromkeys(found))

    @property
    def stream_views(self) -> tuple[DeclaredView, ...]:
        """The views that rows of a source feed."""
        return tuple(view for view in self.all_views if isinstance(view, DeclaredView))

    @property
    def batch_views(self) -> tuple[DeclaredBatchView, ...]:
        """The views that SQL computes."""
        return tuple(view for view in self.all_views if isinstance(view, DeclaredBatchView))

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every source once, the scored one first."""
        return tuple(dict.fromkeys(self._named_sources()))

    def _named_sources(self) -> Iterator[Source]:
        yield self.scored
        for model in self.models:
            if model.label:
                yield model.label
        for view in self.stream_views:
            yield view.source
            if view.source.labels:
                yield view.source.labels
