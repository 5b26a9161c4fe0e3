"""Check or take the golden values: `python -m tests.goldens check|take [--inputs]`.

`check` runs the workload and compares every value bit by bit; it exits 1 where one differs. `take` writes the
values of today as the goldens, for a change that is meant and said in its decision page; with `--inputs` the
workload is drawn and its model trained anew as well. `--handbook` does either with the real data, which lies
in the folder HANDBOOK_DATA and of which digests are kept.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

import structlog

from tests.goldens import handbook, kept, tables


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.goldens", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("check", "take"))
    parser.add_argument("--inputs", action="store_true", help="take: draw rows and train the model anew")
    parser.add_argument("--handbook", action="store_true", help="the real data instead")
    asked = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if asked.handbook:
        return of_handbook(asked.what)
    if asked.what == "take":
        if asked.inputs:
            kept.make_inputs()
        tables.write(kept.FOLDER / "values", kept.run())
        return 0
    golden = kept.golden()
    found = tables.differences(golden, kept.run())
    values = sum(one.num_rows * one.num_columns for one in golden.values())
    if found:
        sys.stdout.write(tables.report(found) + "\n")
        return 1
    sys.stdout.write(f"{values:,} values in {len(golden)} tables are bit-equal\n")
    return 0


def of_handbook(what: str) -> int:
    """Check or take the digests of the real data."""
    if what == "take":
        handbook.take()
        return 0
    apart = handbook.apart()
    sys.stdout.write("".join(f"{name} differs\n" for name in apart) or "all columns are bit-equal\n")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
