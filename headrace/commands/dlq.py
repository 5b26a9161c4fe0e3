"""`headrace dlq`: what the contracts refused, why, and how to send it again once it is accepted."""

import time
from typing import Any

import click

EXAMPLE = """
\b
Examples:
  headrace dlq list --code E_CONTRACT_ENUM
  headrace dlq show transactions/3/1042
  headrace dlq replay --topic transactions --dry-run
"""
TOPIC = click.option("--topic", type=click.Choice(["transactions", "labels"]), help="Only this input topic.")
CODE = click.option("--code", default="", help="Only this code, as E_DECODE_JSON.")


@click.group(name="dlq", epilog=EXAMPLE)
def command() -> None:
    """List, show and replay dead letters: records that broke their contract."""


@command.command(name="list", epilog="Example: headrace dlq list --topic labels --json")
@TOPIC
@CODE
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_letters(topic: str | None, code: str, limit: int, as_json: bool) -> None:
    """List dead letters, one line each, with their origin, code and reason."""
    from itertools import islice

    rows = [_row(letter) for letter in islice(_dead_letters().letters(_topics(topic), code), limit)]
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['origin']:28} {row['code']:22} {row['reason']}")
    click.echo(f"{len(rows)} dead letters" if rows else "no dead letters")


@command.command(epilog="Example: headrace dlq show transactions/3/1042 --bytes")
@click.argument("origin", metavar="TOPIC/PARTITION/OFFSET")
@click.option(
    "--bytes", "with_bytes", is_flag=True, help="Print key and value as they are, personal data too."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(origin: str, with_bytes: bool, as_json: bool) -> None:
    """Show one dead letter. Personal fields are masked unless --bytes asks for the bytes."""
    from streams.gate.dead_letters import Origin

    letter = _dead_letters().find(Origin.parse(origin))
    row = _row(letter) | {"value": _masked(letter.origin.topic, letter.value)}
    if with_bytes:
        row |= {"key": _text(letter.key), "value": _text(letter.value)}
    if as_json:
        _print_json(row)
        return
    for name, value in row.items():
        click.echo(f"{name:14} {value}")


@command.command(epilog="Example: headrace dlq replay transactions/3/1042")
@click.argument("origins", metavar="[TOPIC/PARTITION/OFFSET]...", nargs=-1)
@TOPIC
@CODE
@click.option("--dry-run", is_flag=True, help="Judge only; publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(origins: tuple[str, ...], topic: str | None, code: str, dry_run: bool, as_json: bool) -> None:
    """Publish the original bytes again to where they came from.

    What the present contract would refuse again is not published; it is listed with its code, and the exit
    code is 3. Name letters by origin, or choose them by --topic and --code.
    """
    from streams.gate.dead_letters import Origin

    if not (origins or topic or code):
        raise click.UsageError("name letters by origin, or choose them by --topic or --code")
    dead = _dead_letters()
    wanted = [Origin.parse(text) for text in origins]
    letters = [dead.find(origin) for origin in wanted] or list(dead.letters(_topics(topic), code))
    refusals = dead.replay(letters, int(time.time() * 1000), dry_run=dry_run)
    accepted = len(letters) - len(refusals)
    if as_json:
        refused = [{"origin": str(r.origin), "code": r.code, "reason": r.reason} for r in refusals]
        _print_json({"replayed": 0 if dry_run else accepted, "acceptable": accepted, "refused": refused})
    else:
        for refusal in refusals:
            click.echo(f"{refusal.origin!s:28} {refusal.code:22} {refusal.reason}")
        told = "would be replayed" if dry_run else "replayed"
        click.echo(f"{accepted} {told}, {len(refusals)} would be refused again")
    if refusals:
        raise SystemExit(3)


def _dead_letters() -> Any:
    from headrace.environment import connections
    from streams.gate.dead_letters import DeadLetters

    kafka, run = connections()
    return DeadLetters(kafka, run.topic_prefix)


def _topics(topic: str | None) -> tuple[str, ...]:
    return (topic,) if topic else ("transactions", "labels")


def _row(letter: Any) -> dict[str, Any]:
    return {
        "origin": str(letter.origin),
        "code": letter.code,
        "reason": letter.reason,
        "stage": letter.stage,
        "contract": letter.contract,
        "timestamp_ms": letter.timestamp_ms,
        "copied": letter.copied,
        "key_bytes": None if letter.key is None else len(letter.key),
        "value_bytes": None if letter.value is None else len(letter.value),
    }


def _masked(topic: str, value: bytes | None) -> str:
    """Return a JSON object's text with personal fields masked; nothing of what is not one."""
    import orjson

    from contracts.verdict import versions_of

    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return "(not JSON; --bytes shows it)"
    if not isinstance(document, dict):
        return "(not an object; --bytes shows it)"
    known = {field.name: field.personal for terms in versions_of(topic) for field in terms.fields}
    return orjson.dumps(
        {name: "***" if known.get(name, True) else item for name, item in document.items()}
    ).decode()


def _text(data: bytes | None) -> str | None:
    """Return bytes as text that cannot move a terminal's cursor."""
    return None if data is None else ascii(data.decode("utf-8", "backslashreplace"))[1:-1]


def _print_json(document: Any) -> None:
    import orjson

    click.echo(orjson.dumps(document).decode())
