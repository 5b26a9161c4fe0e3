"""Matured precision of each version, left beside the models for gates and for a canary's guardrail."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from contracts.events import Quality
from inference.release.live_evidence import Figures, Report, write_report

SOURCE = "learner"

log = structlog.get_logger(__name__)


def evidence_of(told: Sequence[Quality]) -> dict[str, Figures]:
    """Return each version's labels and precision over the longest window told, all its stages together.

    `labels` are those of events that the version would flag by its own thresholds, or did.
    """
    matured = [one for one in told if one.kind == "matured" and isinstance(one.model, str)]
    longest = max((one.window_days or 0 for one in matured), default=0)
    found: dict[str, Figures] = {}
    for record in matured:
        if record.window_days != longest or not isinstance(record.model, str):
            continue
        caught = record.counts["true_positives"]
        figures = Figures(
            labels=caught + record.counts["false_positives"], precision=record.figures.get("precision"),
            positives=caught + record.counts["false_negatives"], caught=caught,
        )  # fmt: skip
        found[record.model] = found.get(record.model, Figures()).plus(figures)
    return found


def leave(models: Path, told: Sequence[Quality]) -> None:
    """Write the evidence of a report; one that cannot be written is logged, and the learner goes on."""
    found = evidence_of(told)
    if not found:
        return
    try:
        write_report(models, Report(source=SOURCE, at_ms=max(one.at for one in told), models=found))
    except OSError as error:
        log.error("evidence_not_written", code="E_EVIDENCE", why=str(error))
