"""Printing what came out of records: ids and texts of strangers, which may hold escapes and line ends.

Whatever is not printable is shown as an escape, so that nothing moves a cursor, forges a line or turns the
direction of writing. Commands that print ids, reasons, names or other content print through `say` and
`say_json`.
"""

import re
import sys
from typing import Any

import click
import orjson

_BEYOND_ASCII = re.compile(r"[^\x00-\x7e]")


def escaped(text: str) -> str:
    r"""Return a text as one line in which every character is printable.

    >>> escaped("t1\x1b[2J\nforged \u202e\x9b")
    't1\\x1b[2J\\nforged \\u202e\\x9b'
    >>> escaped("Zoë's café, 東京")
    "Zoë's café, 東京"
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def say(*lines: str) -> None:
    """Print lines, each escaped."""
    for line in lines:
        click.echo(escaped(line))


def warn(*lines: str) -> None:
    """Print lines to standard error, each escaped."""
    for line in lines:
        click.echo(escaped(line), err=True)


def json_text(document: Any) -> str:
    r"""Return indented JSON in which every character is printable.

    >>> json_text({"id": "t1\x9b\u202eé"}) == '{\n  "id": "t1\\u009b\\u202eé"\n}'
    True
    """
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    return _BEYOND_ASCII.sub(lambda found: _json_escape(found[0]), text)


def say_json(document: Any) -> None:
    """Print JSON, for programs and safe for a screen."""
    sys.stdout.write(json_text(document) + "\n")


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape", "backslashreplace").decode()


def _json_escape(sign: str) -> str:
    if sign.isprintable():
        return sign
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
