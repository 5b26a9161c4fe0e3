"""Measure the code's shape: `python -m tools.shape [--root DIR] [--json FILE] [--store] [--names]`.

Prints one table: lines by room, modules that each process imports, what one payment passes, and what should
become none. `--root` measures another checkout with this one's tool; `--store` appends the figures, with the
commit, to tools/shape.jsonl and prints the rows stored before beside them; `--names` prints what is counted.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.shape.measure import findings, measure

CHECKOUT = Path(__file__).resolve().parents[2]
KEPT = CHECKOUT / "tools" / "shape.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.shape", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=CHECKOUT, help="the checkout to measure")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--store", action="store_true", help="append the figures to tools/shape.jsonl")
    parser.add_argument("--kept", type=Path, default=KEPT, help=argparse.SUPPRESS)
    parser.add_argument("--names", action="store_true", help="print the names behind what should become none")
    asked = parser.parse_args(argv)
    root = asked.root.resolve()
    if asked.names:
        sys.stdout.write(json.dumps(findings(root)._asdict(), indent=1) + "\n")
        return 0
    row = measure(root)
    before = stored(asked.kept)
    if asked.store:
        with asked.kept.open("a") as file:
            file.write(json.dumps(row) + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(row, indent=1) + "\n")
    sys.stdout.write(table([*before, row]))
    return 0


def stored(path: Path) -> list[dict[str, Any]]:
    """Return the rows kept so far, oldest first."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the figures of each group beside each other.

    >>> flat({"commit": "a1", "lines": {"streams": 3}})
    {'commit': 'a1', 'lines.streams': 3}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= (
            {f"{name}.{key}": part for key, part in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, one column a row, one line a figure.

    >>> print(table([{"commit": "a1", "fmt_skip": 4}, {"commit": "b2", "fmt_skip": 1}]), end="")
    | commit | a1 | b2 |
    |---|--:|--:|
    | fmt_skip | 4 | 1 |
    """
    columns = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for column in columns for name in column))
    body = [[name, *(_cell(column.get(name)) for column in columns)] for name in names]
    made = ["| " + " | ".join(line) + " |\n" for line in body]
    return "".join([made[0], "|---" + "|--:" * len(columns) + "|\n", *made[1:]])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
