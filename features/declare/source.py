"""Where rows come from: a topic under a contract, and what its rows are to the project."""

from dataclasses import KW_ONLY, dataclass, field
from pathlib import PurePosixPath

from features.declare.written_at import WrittenAt, written_at
from features.expressions import Expression


@dataclass(frozen=True, eq=False)
class Source:
    """A topic under a contract. Topic, id, event time, keys, types and personal fields are the contract's.

    One source of a project is scored (`Project(scored=...)`), those with `labels` say what became of its
    records, all others are context: folded into windows, never scored.

    Args:
        contract: the contract's file in the project's folder.
        labels: the source whose records these are labels of.
        positive: which labels are positive, as `col("outcome") == "takeover"`; of labels.
        known_at: the field of the time at which a label became known; the contract's `knownAt` without it.
        maturity: how long after its record a label is taken for final, as "7d".
        negative_after: a record without a label is negative after so long, as "90d"; empty for never.
        topic: another topic than the contract's.
        name: what views call it; the file's name without its ending.

    >>> logins = Source("contracts/logins.yaml")
    >>> logins.name, Source("contracts/takeovers.yaml", labels=logins, negative_after="90d").is_labels
    ('logins', True)
    """

    contract: str
    _: KW_ONLY
    labels: "Source | None" = None
    positive: Expression | None = None
    known_at: str = ""
    maturity: str = ""
    negative_after: str = ""
    topic: str = ""
    name: str = ""
    written: WrittenAt = field(default_factory=written_at, repr=False)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", PurePosixPath(self.contract).stem)

    @property
    def is_labels(self) -> bool:
        """Whether its records say what became of another source's."""
        return self.labels is not None
