"""Commands that only a checkout has: one file a command, as in `headrace/commands/`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson


def tell(report: dict[str, Any], json_file: Path | None, show: Callable[[], None]) -> None:
    """Write a report as JSON where it was asked for, and show it unless stdout has the JSON."""
    text = orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n"
    if json_file is not None and str(json_file) == "-":
        sys.stdout.write(text)
        return
    if json_file is not None:
        json_file.write_text(text)
    show()
