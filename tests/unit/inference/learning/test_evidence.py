"""What the learner leaves for gates and guardrails is what its reports say of the longest window."""

from pathlib import Path

from contracts.events import Quality
from inference.learning.evidence import evidence_of, leave
from inference.release.live_evidence import Figures, FolderEvidence


def matured(model: str, stage: str, days: int, hits: int, misses: int) -> Quality:
    flagged = hits + misses
    return Quality(
        quality_id=f"{model}{stage}{days}", kind="matured", at=7, what="w", window_days=days, model=model,
        stage=stage, counts={"true_positives": hits, "false_positives": misses, "false_negatives": 2 * hits},
        figures={"precision": hits / flagged} if flagged else {},
    )  # fmt: skip


TOLD = [
    matured("fraud/1", "champion", 7, 1, 1),
    matured("fraud/1", "champion", 28, 30, 10),
    matured("fraud/2", "shadow", 28, 10, 30),
    matured("fraud/2", "canary", 28, 10, 10),
    matured("fraud/3", "shadow", 28, 0, 0),
    Quality(quality_id="q", kind="labels", at=9, what="w", counts={}, figures={}),
]


def test_the_longest_window_counts_and_stages_go_together(tmp_path: Path) -> None:
    assert evidence_of(TOLD) == {
        "fraud/1": Figures(labels=40, precision=0.75, positives=90, caught=30),
        "fraud/2": Figures(labels=60, precision=20 / 60, positives=60, caught=20),
        "fraud/3": Figures(),
    }
    leave(tmp_path, TOLD)
    assert FolderEvidence(tmp_path).of("fraud/2").labels == 60


def test_a_report_without_matured_labels_leaves_what_was_there(tmp_path: Path) -> None:
    leave(tmp_path, TOLD)
    leave(tmp_path, TOLD[-1:])
    assert FolderEvidence(tmp_path).of("fraud/1").labels == 40
