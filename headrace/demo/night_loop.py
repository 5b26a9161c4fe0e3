"""What the job's process does: materialise up to each event time that stdin brings, and answer `done`."""

import sys
from pathlib import Path

from headrace.commands.materialize import materialize
from runtime.run import Run


def main() -> None:
    """Work until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print goes to the log
    run = Run.load(Path(sys.argv[1]))
    for line in sys.stdin:
        materialize(run, int(line))
        print("done", file=answers, flush=True)  # the answer


if __name__ == "__main__":
    main()
