"""What a version's scores are worth in service: figures that scorers and the learner leave beside the models.

    <models>/evidence/<source>.json    {"source", "at_ms", "models": {"risk/0002-1a2b3c4d": {"scores", ...}}}

Each source writes a file of its own, whole; readers add the counts up. `scores` and `errors` come from the
scorers, the figures of matured labels from whoever joins labels to predictions.
"""

from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from inference.models.manifest import NOT_JSON
from runtime.atomic_file import replace_file

EVIDENCE_FOLDER = "evidence"
POSITIVES_MIN = 20  # matured positives: a share of fewer says nothing

log = structlog.get_logger(__name__)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One version's live figures.

    `scores` counts events that it scored in shadow or as canary, `errors` those of them without a usable
    score. `labels` counts matured labels among what it would have flagged or did flag, `precision` is the
    share of positives there, None while unknown. `positives` counts those matured among all its events,
    flagged or not, and `caught` those of them that it flagged.
    """

    scores: int = 0
    errors: int = 0
    labels: int = 0
    precision: float | None = None
    positives: int = 0
    caught: int = 0

    @property
    def recall(self) -> float | None:
        """Return the share of positives that it caught, None where there are too few to tell.

        >>> Figures(positives=40, caught=10).recall, Figures(positives=POSITIVES_MIN - 1).recall
        (0.25, None)
        """
        return self.caught / self.positives if self.positives >= POSITIVES_MIN else None

    def plus(self, other: "Figures") -> "Figures":
        """Return both together; precision is weighed by labels.

        >>> Figures(labels=1, precision=1.0).plus(Figures(labels=3, precision=0.0)).precision
        0.25
        """
        known = [one for one in (self, other) if one.precision is not None and one.labels]
        labels = sum(one.labels for one in known)
        weighed = sum((one.precision or 0.0) * one.labels for one in known)
        return Figures(
            scores=self.scores + other.scores, errors=self.errors + other.errors,
            labels=labels, precision=weighed / labels if labels else None,
            positives=self.positives + other.positives, caught=self.caught + other.caught,
        )  # fmt: skip


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one source says, and when it said so, epoch ms."""

    source: str
    at_ms: int
    models: dict[str, Figures]


class LiveEvidence(Protocol):
    """Where gates and guardrails get a version's live figures."""

    def of(self, version_id: str) -> Figures:
        """Return the figures of `name/version`, zeros while nobody has any."""


class FolderEvidence:
    """Reports in the models' folder.

    >>> FolderEvidence(Path("no/such/models")).of("risk/1").scores
    0
    """

    def __init__(self, models: Path) -> None:
        self._folder = models / EVIDENCE_FOLDER
        self._logged: dict[str, str] = {}

    def of(self, version_id: str) -> Figures:
        """Return the sum over all sources; a report that cannot be read is passed over and logged once."""
        found = Figures()
        for path in sorted(self._folder.glob("[!.]*.json")):
            report = read_report(path, self._logged)
            if report is not None:
                found = found.plus(report.models.get(version_id, Figures()))
        return found


def read_report(path: Path, logged: dict[str, str] | None = None) -> Report | None:
    """Return a source's report, None where there is none that can be read.

    `logged` remembers what was logged of a path, so that the same again is not.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except FileNotFoundError:
        return None
    except (OSError, *NOT_JSON) as error:
        if logged is None or logged.get(path.name) != str(error):
            log.error("evidence_not_read", code="E_EVIDENCE", path=str(path), why=str(error))
        if logged is not None:
            logged[path.name] = str(error)
        return None


def write_report(models: Path, report: Report) -> None:
    """Replace the source's report in one step.

    Raises:
        OSError: the folder may not be written.
    """
    folder = models / EVIDENCE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / f"{report.source}.json", msgspec.json.encode(report))
