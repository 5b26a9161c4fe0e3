"""Write the tables of docs/drift.md from the newest stored evaluation: `python -m load.bench.drift.page`.

Only what stands between the two marks is written; a test compares it.
"""

import sys
from pathlib import Path
from typing import Any

from load.bench.outcome import RESULTS
from load.bench.report import newest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "drift.md"
BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
DUMMIES = ("always fires", "never fires")


def tables(folder: Path = RESULTS) -> str:
    """Return the tables as Markdown, between the marks.

    Raises:
        FileNotFoundError: the scenario was never run.
    """
    report = newest("drift", folder)
    if report is None:
        raise FileNotFoundError("no stored evaluation; run `headrace bench run drift`")
    lines = [BEGIN, "", *_about(report), "", *_totals(report), "", *_scenes(report), "", END]
    return "\n".join(lines)


def written(text: str, folder: Path = RESULTS) -> str:
    """Return the page's text with the tables of the newest report in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + tables(folder) + after


def _about(report: dict[str, Any]) -> list[str]:
    cost = ", ".join(f"{value:.2f} at batches of {rows}" for rows, value in report["watch_cpu_us"].items())
    return [
        f"`{report['command']}`, seed {report['seed']}, commit {report['commit']},"
        f" {report['machine']['processor']}. One row of {report['sample_every']} is sampled, but for errors.",
        *[f"Note: {note}." for note in report["notes"]],
        "",
        f"The whole watch with its defaults, all columns of the service, CPU µs an event: {cost}.",
    ]


def _totals(report: dict[str, Any]) -> list[str]:
    head = ("detector", "missed", "delay, median", "delay, p90", "false alarms per 10,000", "CPU µs an event")
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, figures in report["totals"].items():
        cells = (
            name, _share(figures["missed_share"]), _events(figures["delay_median"]),
            _events(figures["delay_p90"]), _rate(figures["false_per_10k"]), f"{figures['cpu_us']:.3f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _scenes(report: dict[str, Any]) -> list[str]:
    """Return a row a scene and judge, in one column a scene: delay, misses and false alarms."""
    lines = ["Each cell: missed share, median delay in events, false alarms per 10,000 stable events.", ""]
    scenes = report["scenes"]
    lines += [f"- `{scene['name']}`: {scene['about']} ({scene['seeds']} seeds)" for scene in scenes]
    for part in (scenes[: len(scenes) // 2], scenes[len(scenes) // 2 :]):
        names = [scene["name"] for scene in part]
        lines += ["", "| detector | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for judge, by_scene in report["detectors"].items():
            cells = [_cell(by_scene.get(name)) for name in names]
            lines.append(f"| {judge} | " + " | ".join(cells) + " |")
    return lines


def _cell(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    false = _rate(figures["false_per_10k"])
    if figures["missed_share"] is None:
        return f"false {false}"
    return f"{_share(figures['missed_share'])}, {_events(figures['delay_median'])}, false {false}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _events(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.stdout.write(f"{PAGE}\n")
