"""Write the figures of `docs/performance.md` anew from load/results: `python -m load.bench.report`.

Only what stands between the two marks is written, and the curves beside the page: nothing there is typed by
hand. The newest report of each scenario counts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from load.bench.curves import draw
from load.bench.outcome import RESULTS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
CURVES = {
    "keys": "customers in state",
    "windows": "windows of W1, four features each",
    "partitions": "partitions on one gate and one stage process",
}
AIMS_YARDSTICK_US = 0.45  # the middle of what orjson took there for such a payment
Report = dict[str, Any]


class Target(NamedTuple):
    """A row of the table: a figure of a scenario, what is wanted, and whether less is better.

    `speed` marks a rate that depends on the processor, so that machines compare by the yardstick.
    """

    what: str
    scenario: str
    read: Callable[[Report], float]
    reach: float
    stretch: float | None = None
    less: bool = False
    speed: bool = False


def _rate(report: Report) -> float:
    return float(report["figures"]["events_per_cpu_s"])


def _ratio(name: str) -> Callable[[Report], float]:
    return lambda report: float(report["ratios"][name])


def _key(*path: str) -> Callable[[Report], float]:
    def read(report: Report) -> float:
        found: Any = report
        for name in path:
            found = found[name]
        return float(found)

    return read


TARGETS = (
    Target("W1, gate and customer stage, events a CPU-second", "w1", _rate, 200_000, 300_000, speed=True),
    Target("… times plain Faust", "w1", _ratio("faust"), 75),
    Target("… times Quix Streams", "w1", _ratio("quix"), 8),
    Target("… times Bytewax", "w1", _ratio("bytewax"), 1),
    Target("W1 with one JSON record an event", "w1-json", _rate, 110_000, 160_000, speed=True),
    Target("store write, times the floor", "store-write", _ratio("floor"), 0.8, 0.95),
    Target("… times `push`", "store-write", _ratio("feast"), 15),
    Target("store read, times the floor", "store-read", _ratio("floor"), 0.7, 0.9),
    Target("… times `get_online_features`", "store-read", _ratio("feast"), 8),
    Target("scorer, decisions a CPU-second", "scorer", _rate, 50_000, 80_000, speed=True),
    Target("… times the plain consumer", "scorer", _ratio("plain"), 20),
    Target(
        "pipeline, events a second", "pipeline", _key("figures", "events_per_s"), 18_000, 35_000, speed=True
    ),
    Target("… times the plain pipeline", "pipeline", _ratio("plain"), 80),
    Target("sent to readable at 2,000/s, p50 ms", "latency", _key("p50_ms"), 40, 20, less=True),
    Target("… p99 ms", "latency", _key("p99_ms"), 80, 35, less=True),
    Target("bytes of a customer, full windows", "state", _key("state_bytes_per_full_key"), 4096, 2048, True),
    Target("a million customers, peak MiB", "state", _key("figures", "peak_rss_mib"), 2560, less=True),
    Target("restore of a million keys, s", "restore", _key("seconds"), 15, 5, less=True),
)


def newest(scenario: str, folder: Path = RESULTS) -> Report | None:
    """Return the last report of a scenario, None when it was never run."""
    path = folder / f"{scenario}.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return orjson.loads(lines[-1]) if lines else None


def table(folder: Path = RESULTS) -> list[str]:
    """Return the table of targets and figures as lines of Markdown."""
    rows = ["| what | reach | stretch | measured | | command, commit |", "|---|---|---|---|---|---|"]
    for target in TARGETS:
        report = newest(target.scenario, folder)
        sign = "≤" if target.less else "≥"
        wanted = f"{sign} {_number(target.reach)} | {_number(target.stretch) if target.stretch else ''}"
        if report is None:
            rows.append(f"| {target.what} | {wanted} | not run | | `headrace bench run {target.scenario}` |")
            continue
        value = target.read(report)
        where = f"`{report['command']}`, {report['commit']}"
        measured = _number(value) + _elsewhere(target, value, report)
        rows.append(f"| {target.what} | {wanted} | {measured} | {_verdict(target, value)} | {where} |")
    return rows


def _elsewhere(target: Target, value: float, report: Report) -> str:
    """Return an estimate of a rate on the machine that the aims were set on; nothing without a yardstick."""
    yardstick = report["machine"].get("yardstick_us")
    if not target.speed or yardstick is None:
        return ""
    return f" (~{_number(value * yardstick / AIMS_YARDSTICK_US)})"


def _verdict(target: Target, value: float) -> str:
    def holds(wanted: float) -> bool:
        return value <= wanted if target.less else value >= wanted

    if target.stretch is not None and holds(target.stretch):
        return "stretch"
    return "reached" if holds(target.reach) else "**missed**"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def parts(folder: Path = RESULTS) -> list[str]:
    """Return what each part and peer of W1 took, as lines of Markdown."""
    rows = [
        "",
        "| scenario | process | events a CPU-second | µs an event | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for scenario in ("w1", "w1-json"):
        report = newest(scenario, folder) or {"figures": None, "parts": {}, "peers": {}}
        every = {"gate + stage": report["figures"], **report["parts"], **report["peers"]}
        for name, row in every.items():
            if row:
                rate = row["events_per_cpu_s"]
                rows.append(
                    f"| {scenario} | {name} | {rate:,.0f} | {1e6 / rate:.2f} | {row['peak_rss_mib']:,.0f} |"
                )
    return rows


def write(page: Path = PAGE, folder: Path = RESULTS) -> None:
    """Write table and curves; the rest of the page stays."""
    lines = table(folder) + parts(folder)
    growth = newest("growth", folder)
    for name, about in CURVES.items():
        if growth is None:
            break
        picture = page.parent / f"growth-{name}.svg"
        picture.write_text(draw(growth[name], about))
        lines += ["", f"![CPU µs an event by {about}]({picture.name})"]
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + "\n".join([BEGIN, *lines, END]) + after)


if __name__ == "__main__":
    write()
