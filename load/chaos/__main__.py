"""What is done with the results of chaos runs.

python -m load.chaos report FILES...   the table of some reports, on stdout
python -m load.chaos planted DUMP      plant each fault in a dump (`headrace chaos --dump`), keep the outcome
python -m load.chaos page              write docs/chaos.md from what is kept in load/results/chaos/
"""

import argparse
import sys
from pathlib import Path

import orjson

from load.chaos.page import PAGE, PLANTED, page
from load.chaos.report import RESULTS, table
from load.oracle.dump import Dump
from load.oracle.planted import plant_all
from load.oracle.planted import table as planted_table


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(prog="python -m load.chaos", description="Results of chaos runs.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("report").add_argument("files", nargs="+", type=Path)
    verbs.add_parser("planted").add_argument("dump", type=Path)
    verbs.add_parser("page")
    asked = parser.parse_args()
    if asked.verb == "report":
        sys.stdout.write(table(orjson.loads(path.read_bytes()) for path in asked.files))
    elif asked.verb == "planted":
        sys.exit(not _plant(asked.dump))
    else:
        PAGE.write_text(page())


def _plant(path: Path) -> bool:
    """Plant the faults, keep and print what came of it; return whether all were caught."""
    planted = list(plant_all(Dump.load(path)))
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [one._asdict() for one in planted]
    (RESULTS / PLANTED).write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.write(planted_table(planted))
    return all(one.caught for one in planted)


if __name__ == "__main__":
    main()
