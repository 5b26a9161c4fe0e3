"""What a chaos run reports, and the table that many reports make."""

import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from features.project.running import project_of_process
from load.bench.outcome import machine
from load.chaos.plan import ChaosPlan
from load.chaos.run import SEEN, Outcome
from load.oracle.judge import Verdict
from runtime.project_folder import INSTALLED

RESULTS = Path(__file__).parents[1] / "results" / "chaos"
MUST_BE_ZERO = (
    "lost", "duplicate", "phantom", "feature_mismatch", "score_mismatch", "store_mismatch", "order",
    "dlq_missing", "dlq_extra", "aborted_read", "conservation",
    "lake_mismatch", "api_mismatch", "quality_lost", "quality_duplicate", "quality_mismatch",
)  # fmt: skip
BEGINS = {"payments": "seed"}  # of the names of files; those of other projects begin with the project's
RECOVERY_AIM_S = 10.0
PACKAGES = ("confluent-kafka", "faust-streaming", "aiokafka", "lightgbm", "numba", "numpy")


def as_json(plan: ChaosPlan, outcome: Outcome, verdict: Verdict, at: str) -> dict[str, Any]:
    """Return the report of a run; `at` is its moment (ISO)."""
    project = project_of_process()
    words = "headrace chaos" + ("" if project.folder == INSTALLED else f" --project {_place(project.folder)}")
    command = f"{words} --seed {plan.seed} --minutes {plan.minutes:g} --rate {plan.rate:g}"
    raw = ("raw_payments", "raw_labels", "raw_context")
    return {
        "project": project.name,
        "seed": plan.seed,
        "events": sum(verdict.looked_at[name] for name in raw),
        "faults": dict(sorted(Counter(struck.name for struck in outcome.struck).items())),
        **{name: verdict.counts[name] for name in MUST_BE_ZERO},
        "broker_kill": [
            {"waited_s": round(struck.waited_s, 2), "bare_s": round(struck.bare_s, 2)}
            for struck in outcome.struck
            if struck.name == "broker:kill" and struck.bare_s is not None
        ],
        "recovery_s": spread([struck.waited_s for struck in outcome.struck]),
        "stall_s": {
            name: spread([struck.waited_s for struck in outcome.struck if struck.name == name])
            for name in sorted({struck.name for struck in outcome.struck})
        },
        "lane_holes": verdict.counts["lane_holes"],
        "degraded": verdict.degraded,
        "looked_at": verdict.looked_at,
        "oracle_s": verdict.seconds,
        **outcome.facts,
        **plan.as_json(),
        "examples": verdict.examples,
        "at": at,
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "commit": commit(),
        "command": command + (f" --faults {','.join(plan.faults)}" if plan.faults else ""),
    }


def _place(folder: Path) -> str:
    """Return a project's folder as it is named from the checkout."""
    home = RESULTS.parents[2]
    return str(folder.relative_to(home)) if folder.is_relative_to(home) else str(folder)


def spread(seconds: Sequence[float]) -> dict[str, float | None]:
    """Return median, p95 and greatest.

    >>> spread([1.0, 2.0, 9.0])
    {'median': 2.0, 'p95': 8.3, 'max': 9.0}
    """
    if not seconds:
        return {"median": None, "p95": None, "max": None}
    found = (np.median(seconds), np.percentile(seconds, 95), max(seconds))
    return {name: round(float(value), 2) for name, value in zip(("median", "p95", "max"), found, strict=True)}


def is_clean(report: dict[str, Any]) -> bool:
    """Return whether every count that must be zero is, and the run did not stand still."""
    return not (any(report[name] for name in (*MUST_BE_ZERO, *SEEN)) or report["stalled"])


def store(report: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Keep a report beside the others, by project and seed; a later run of the seed takes its place."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{BEGINS.get(report['project'], report['project'])}-{report['seed']:04d}.json"
    path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    return path


def table(reports: Iterable[dict[str, Any]]) -> str:
    """Return the reports as a Markdown table, a row a seed, and what all of them together say."""
    rows = sorted(reports, key=lambda report: report["seed"])
    columns = ("seed", "events", "faults", *MUST_BE_ZERO, *SEEN, "recovery median / p95 / max, s")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for report in rows:
        recovery = " / ".join(_figure(report["recovery_s"][name]) for name in ("median", "p95", "max"))
        cells = [
            str(report["seed"]), f"{report['events']:,}", str(sum(report["faults"].values())),
            *(str(report.get(name, "-")) for name in (*MUST_BE_ZERO, *SEEN)), recovery,
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    events = sum(report["events"] for report in rows)
    faults = sum(sum(report["faults"].values()) for report in rows)
    said = f"{len(rows)} seeds, {events:,} records, {faults} faults."
    return "\n".join([said, "", *lines, "", _waits(rows), *_broker_kills(rows), "", *_by_kind(rows)]) + "\n"


def _broker_kills(reports: list[dict[str, Any]]) -> list[str]:
    """Return in words how long Kafka's own kill kept payments waiting, beside a bare pair of clients."""
    pairs = [pair for report in reports for pair in report.get("broker_kill", [])]
    if not pairs:
        return []
    longest = max(pairs, key=lambda pair: float(pair["waited_s"]))
    ratios = [pair["waited_s"] / pair["bare_s"] for pair in pairs if pair["bare_s"]]
    return [
        "",
        f"Kafka was killed {len(pairs)} times. The longest wait of a payment was {longest['waited_s']:.1f} s,"
        f" of a bare producer and consumer in the same time {longest['bare_s']:.1f} s; the ratio is"
        f" {np.median(ratios):.2f} in the median and at most {max(ratios):.2f}.",
    ]


def _waits(reports: list[dict[str, Any]]) -> str:
    """Return in words how long payments waited: the worst of each kind of fault in each run."""
    worst = [figures["max"] for report in reports for figures in report["stall_s"].values()]
    if not worst:
        return "No fault struck."
    inside = sum(waited <= RECOVERY_AIM_S for waited in worst)
    return (
        f"Of {len(worst)} kinds of fault in a run, {inside} kept no payment waiting longer than"
        f" {RECOVERY_AIM_S:g} s; the median is {np.median(worst):.1f} s."
    )


def _by_kind(reports: list[dict[str, Any]]) -> list[str]:
    """Return the faults of all reports by kind, with how long each kept predictions waiting."""
    struck: Counter[str] = Counter()
    stalls: dict[str, list[float]] = {}
    for report in reports:
        struck.update(report["faults"])
        for name, figures in report["stall_s"].items():
            stalls.setdefault(name, []).append(figures["max"])
    lines = ["| fault | times | worst stall a run, median, s | worst, s |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {count} | {np.median(stalls[name]):.1f} | {max(stalls[name]):.1f} |"
        for name, count in sorted(struck.items())
    ]
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def commit() -> str:
    """Return the commit of this checkout, with `+` when files differ from it."""
    here = Path(__file__).parent
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=here)
    return done.stdout.strip() or "unknown"
