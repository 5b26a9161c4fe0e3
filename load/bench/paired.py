"""This checkout beside another: the same work in alternated slots, and the ratio of their CPU seconds.

    python -m load.bench.paired OTHER_CHECKOUT --work pipeline --pairs 15 --events 350000

Both sides run at once, each on servers of its own, and one of them works at a time; which one begins changes
from pair to pair, so that what drifts falls on both. `pipeline` is gate, stages, scorer and archive on the
payments of `headrace bench run pipeline`; `w1` is gate and customer stage on the windows of W1. A ratio above
1 says that this checkout takes more. The interval is that of the median by order statistics: it
holds whatever the ratios' distribution is.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

from load.bench.measure import Figures
from load.bench.outcome import Outcome, as_json, commit, store

HERE = Path(__file__).parents[2]
SIDE = Path(__file__).with_name("paired_side.py")
SERVERS = ("kafka", "redis")
CONFIDENCE = 0.95


class Checkout:
    """A checkout's workers, idle unless asked.

    Args:
        checkout: its folder; it needs no virtual environment of its own.
        work, events, slots: what every slot is made of, and how many there are at most.

    Raises:
        RuntimeError: its process ended before it was ready, or within a slot.
    """

    def __init__(self, checkout: Path, work: str, events: int, slots: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SIDE), work, str(events), str(slots)],
            cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._checkout = checkout

    def answer(self) -> dict[str, Any]:
        """Return the next thing that the side says of itself."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                return said
        raise RuntimeError(f"the side in {self._checkout} ended with {self._process.wait()}")

    def slot(self) -> dict[str, Any]:
        """Run one slot and return `cpu_s` by part and `wall_s`."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Let it end and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Return an interval that holds the median in at least 95 of 100 cases.

    >>> interval([float(number) for number in range(1, 16)])
    (4.0, 12.0)
    """
    ordered, count = sorted(ratios), len(ratios)
    below, rank = 0.0, 0
    while below + comb(count, rank) / 2**count <= (1 - CONFIDENCE) / 2:
        below += comb(count, rank) / 2**count
        rank += 1
    return ordered[max(rank - 1, 0)], ordered[count - max(rank, 1)]


def compare(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Return median and interval of (this, other) slots: `workers`, every part of both, and the wall time.

    >>> one = {"cpu_s": {"gate": 2.0, "kafka": 1.0}, "wall_s": 3.0}
    >>> compare([(one, one)])["workers"]
    {'ratio': 1.0, 'low': 1.0, 'high': 1.0, 'cpu_s': 2.0, 'cpu_s_other': 2.0}
    """
    first = pairs[0][0]["cpu_s"]
    workers = [name for name in first if name not in SERVERS]
    groups = {"workers": workers, "everything": list(first)} | {name: [name] for name in first}
    found: dict[str, Any] = {}
    for name, parts in groups.items():
        used = [[sum(side["cpu_s"][part] for part in parts) for side in pair] for pair in pairs]
        found[name] = _ratio(used) | {
            "cpu_s": round(median(this for this, _ in used), 3),
            "cpu_s_other": round(median(other for _, other in used), 3),
        }
    found["wall"] = _ratio([[side["wall_s"] for side in pair] for pair in pairs])
    return found


def _ratio(used: Sequence[Sequence[float]]) -> dict[str, float]:
    ratios = [this / max(other, 1e-9) for this, other in used]
    low, high = interval(ratios)
    return {"ratio": round(median(ratios), 4), "low": round(low, 4), "high": round(high, 4)}


def main() -> None:
    """Run the pairs, print the comparison and keep it in `load/results/paired.jsonl`."""
    asked = _options()
    sides = [Checkout(folder, asked.work, asked.events, asked.pairs + 1) for folder in (HERE, asked.other)]
    pairs = []
    try:
        for side in sides:
            side.answer()
        for number in range(asked.pairs + 1):
            order = (0, 1) if number % 2 else (1, 0)
            slots = {which: sides[which].slot() for which in order}
            if number:  # the first is warm-up
                pairs.append((slots[0], slots[1]))
                _tell(f"{number} {json.dumps(compare(pairs[-1:])['workers'])}")
    finally:
        for side in sides:
            side.close()
    found = compare(pairs)
    _tell(json.dumps(found, indent=1))
    if asked.store:
        store(_report(asked, found, pairs))


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _report(asked: argparse.Namespace, found: dict[str, Any], pairs: Sequence[Any]) -> dict[str, Any]:
    spent = sum(this["cpu_s"][part] for this, _ in pairs for part in this["cpu_s"])
    outcome = Outcome(
        figures=Figures(
            events=asked.events * len(pairs), wall_s=sum(this["wall_s"] for this, _ in pairs), cpu_s=spent,
            peak_rss_mib=0.0,
        ),
        seed=0,
        more={"work": asked.work, "pairs": len(pairs), "other": _commit_of(asked.other), "compared": found},
        notes=["medians of alternated pairs, 95 % intervals of the median; above 1: this one takes more"],
    )  # fmt: skip
    about = as_json("paired", outcome, datetime.now(UTC).isoformat(timespec="seconds"))
    return about | {"commit": commit(), "command": f"python -m load.bench.paired OTHER --work {asked.work}"}


def _commit_of(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, cwd=checkout
    )
    return done.stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "other", type=lambda text: Path(text).resolve(), help="a checkout of the other commit"
    )
    parser.add_argument("--work", choices=("pipeline", "w1"), default="pipeline")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--events", type=int, default=350_000, help="of one slot of one side")
    parser.add_argument("--store", action="store_true", help="keep the result in load/results/paired.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
