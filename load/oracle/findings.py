"""What the oracle found wrong: a count a name, and a few examples of each for whoever looks into it."""

from collections import Counter

NAMES = (
    "lost", "duplicate", "phantom", "feature_mismatch", "score_mismatch", "store_mismatch", "order",
    "dlq_missing", "dlq_extra", "aborted_read", "conservation", "lake_mismatch", "api_mismatch",
    "quality_lost", "quality_duplicate", "quality_mismatch", "lane_holes",
)  # fmt: skip
EXAMPLES_MAX = 5


class Findings:
    """Counts of what must not be.

    >>> found = Findings()
    >>> found.add("lost", "transactions/0/7")
    >>> found.counts["lost"], found.clean
    (1, False)
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(NAMES, 0))
        self.examples: dict[str, list[str]] = {}

    def add(self, name: str, example: str) -> None:
        """Count one finding."""
        if name not in NAMES:
            raise KeyError(name)
        self.counts[name] += 1
        examples = self.examples.setdefault(name, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(example)

    def merge(self, other: "Findings") -> None:
        """Take over what another part found."""
        self.counts.update(other.counts)
        for name, examples in other.examples.items():
            mine = self.examples.setdefault(name, [])
            mine.extend(examples[: EXAMPLES_MAX - len(mine)])

    @property
    def clean(self) -> bool:
        """Return whether nothing was found."""
        return not any(self.counts.values())
