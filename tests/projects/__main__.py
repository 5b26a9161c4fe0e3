"""Many seeds: `python -m tests.projects --seeds 0-9999 --workers 2 --results DIR`; begun again, it goes on.

What each seed came to is a line of DIR/COMMIT.ndjson; a summary stands in DIR/COMMIT.json.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from tests.projects.run import run

CHECKOUT = Path(__file__).resolve().parents[2]
SHOWN = 5


def main() -> int:
    """Run the seeds that have no line yet; 1 when any failed."""
    options = _options()
    first, last = (int(part) for part in (options.seeds.split("-") * 2)[:2])
    lines = Lines(options.results)
    left = [seed for seed in range(first, last + 1) if seed not in lines.told]
    with Pool(options.workers) as pool:
        for line in pool.imap_unordered(told, left, chunksize=4):
            lines.add(line)
            if line["wrong"]:
                print(f"seed {line['seed']}: {line['wrong'][:SHOWN]}", flush=True)
    summary = lines.summary()
    print(json.dumps(summary))
    return int(summary["failed"] > 0)


def told(seed: int) -> dict[str, Any]:
    """Return what a seed came to."""
    began_s = time.process_time()
    outcome = run(seed)
    return {
        "seed": seed, "wrong": outcome.wrong, "steps": outcome.steps, "published": outcome.published,
        "cpu_s": round(time.process_time() - began_s, 2), "struck": outcome.faults,
    }  # fmt: skip


class Lines:
    """The results so far, in a folder or nowhere."""

    def __init__(self, folder: str) -> None:
        self._path: Path | None = None
        self.told: dict[int, dict[str, Any]] = {}
        if folder:
            self._path = Path(folder) / f"{commit()}.ndjson"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists():
                self.told = {
                    line["seed"]: line for line in map(json.loads, self._path.read_text().splitlines())
                }

    def add(self, line: dict[str, Any]) -> None:
        """Keep a line."""
        self.told[line["seed"]] = line
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def summary(self) -> dict[str, Any]:
        """Return the figures of all lines, written beside them."""
        struck = Counter[str]()
        for line in self.told.values():
            struck.update(line["struck"])
        failed = sorted(line["seed"] for line in self.told.values() if line["wrong"])
        found = {
            "commit": commit(), "seeds": len(self.told), "failed": len(failed), "failing": failed[:50],
            "cpu_s": round(sum(line["cpu_s"] for line in self.told.values())),
            "published": sum(line["published"] for line in self.told.values()),
            "struck": dict(sorted(struck.items())),
        }  # fmt: skip
        if self._path is not None:
            self._path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        return found


def commit() -> str:
    """Return the checkout's commit, with a mark where files were changed since."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(words, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.projects", description=__doc__)
    parser.add_argument("--seeds", default="0-99", help="A-B, or one seed")
    parser.add_argument("--workers", type=int, default=1, help="how many processes")
    parser.add_argument("--results", default="", help="the folder of results; none are kept without it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
