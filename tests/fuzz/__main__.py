"""Feed a decoder mutated inputs: `python -m tests.fuzz DECODER --count N --seed S [--resume]`.

Results go to tests/fuzz/results/DECODER.jsonl, one line a part of a run, with the commit. `--resume` goes on
behind the inputs of that seed that the file says are done; `--input HEX` runs one input here, for a debugger.
Exits 1 when there was a fault.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.fuzz.decoders import DECODERS
from tests.fuzz.runner import Asked, run

RESULTS = Path(__file__).parent / "results"
PART = 500_000


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("decoder", choices=sorted(DECODERS))
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", type=int, default=PART, help="inputs a child process and a line of results")
    parser.add_argument("--no-bounds", dest="bounds", action="store_false", help="as compiled for service")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--input", default="")
    asked = parser.parse_args(argv)
    if asked.input:
        sys.stdout.write(DECODERS[asked.decoder]().check(bytes.fromhex(asked.input)) + "\n")
        return 0
    path = asked.results / f"{asked.decoder}.jsonl"
    first, faults = done(path, asked.seed) if asked.resume else 0, 0
    while first < asked.count:
        count = min(asked.part, asked.count - first)
        part = Asked(asked.decoder, asked.seed, first, count, bounds=asked.bounds)
        result = run(part, lambda text: sys.stderr.write(text + "\n"))
        faults += len(result.faults)
        line = {
            "decoder": asked.decoder, "seed": asked.seed, "first": first, "count": result.count,
            "outcomes": dict(sorted(result.outcomes.items())), "faults": result.faults,
            "bounds": asked.bounds, "commit": commit(),
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        sys.stdout.write(f"{asked.decoder}: {first + result.count:,} inputs, {faults} faults\n")
        sys.stdout.flush()
        first += result.count
        if result.count < part.count:
            break
    return 1 if faults else 0


def done(path: Path, seed: int) -> int:
    """Return how many inputs of a seed the file says are done, from the first on."""
    if not path.exists():
        return 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return max((line["first"] + line["count"] for line in lines if line["seed"] == seed), default=0)


def commit() -> str:
    """Return the commit that was tried, with a + where files differ from it."""
    words = ["git", "describe", "--always", "--dirty=+", "--abbrev=10"]
    found = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
