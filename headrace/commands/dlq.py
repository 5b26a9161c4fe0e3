"""`headrace dlq`: what the contracts refused, why, and how to send it again once it is accepted."""

import time
from typing import Any

import click

from headrace.groups import NearestGroup
from headrace.params import SOURCE_TOPIC
from headrace.printing import say, say_json

EXAMPLE = """
\b
Examples:
  headrace dlq list --code E_CONTRACT_ENUM
  headrace dlq show orders/3/1042
  headrace dlq replay --topic orders --dry-run
"""

TOPIC = click.option("--topic", type=SOURCE_TOPIC, help="Only this source's topic.")
CODE = click.option("--code", default="", help="Only this code, as E_DECODE_JSON.")


@click.group(name="dlq", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """List, show and replay dead letters: records that broke their contract."""


@command.command(name="list", epilog="Example: headrace dlq list --topic orders --key c17 --json")
@TOPIC
@CODE
@click.option("--key", help="Only records with this key, as c17.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_letters(topic: str | None, code: str, key: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, one line each, newest last, then how many there are of each code.

    Times are those of the refused records, UTC. Texts are printed with what could move a cursor escaped.
    """
    from collections import Counter

    wanted = None if key is None else key.encode()
    found = _dead_letters().letters((topic,) if topic else (), code)
    letters = [letter for letter in found if wanted is None or letter.key == wanted]
    rows = [_row(letter) for letter in letters[-limit:]]
    if as_json:
        say_json(rows)
        return
    if rows:
        say(f"{'time (UTC)':20} {'origin':28} {'code':22} reason")
    for row in rows:
        say(f"{_time(row['timestamp_ms']):20} {row['origin']:28} {row['code']:22} {row['reason']}")
    for name, count in Counter(letter.code for letter in letters).most_common():
        say(f"{count:,} {name}")
    shown = f" ({len(rows)} shown; --limit shows more)" if len(rows) < len(letters) else ""
    say(f"{len(letters):,} dead letters{shown}" if letters else "no dead letters")


@command.command(epilog="Example: headrace dlq show orders/3/1042 --bytes")
@click.argument("origin", metavar="TOPIC/PARTITION/OFFSET")
@click.option(
    "--bytes", "with_bytes", is_flag=True, help="Print key and value as they are, personal data too."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(origin: str, with_bytes: bool, as_json: bool) -> None:
    """Show one dead letter. Personal fields are masked unless --bytes asks for the bytes."""
    from features.project.running import project_of_process
    from streams.gate.dead_letters import Origin

    letter = _dead_letters().find(Origin.parse(origin, project_of_process().pipeline))
    row = _row(letter) | {"value": _masked(letter.origin.topic, letter.value)}
    if with_bytes:
        row |= {"key": _text(letter.key), "value": _text(letter.value)}
    if as_json:
        say_json(row)
        return
    for name, value in row.items():
        say(f"{name:14} {value}")


@command.command(epilog="Example: headrace dlq replay orders/3/1042")
@click.argument("origins", metavar="[TOPIC/PARTITION/OFFSET]...", nargs=-1)
@TOPIC
@CODE
@click.option("--dry-run", is_flag=True, help="Judge only; publish nothing.")
@click.option("--again", is_flag=True, help="Also what was replayed before; past 24 hours it counts twice.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay(
    origins: tuple[str, ...], topic: str | None, code: str, dry_run: bool, again: bool, as_json: bool
) -> None:
    """Publish the original bytes again to where they came from, each letter once.

    What the present contract would refuse again, or was replayed before (the run keeps a ledger), is not
    published; it is listed with its code, and the exit code is 3. Name letters by origin, or choose them by
    --topic and --code.
    """
    from features.project.running import project_of_process
    from runtime.environment import current_run
    from streams.gate.dead_letters import Origin
    from streams.gate.replayed import opened

    if not (origins or topic or code):
        raise click.UsageError("name letters by origin, or choose them by --topic or --code")
    dead, pipeline = _dead_letters(), project_of_process().pipeline
    wanted = [Origin.parse(text, pipeline) for text in dict.fromkeys(origins)]
    letters = [dead.find(origin) for origin in wanted] or list(dead.letters((topic,) if topic else (), code))
    with opened(current_run().home) as ledger:
        refusals = dead.replay(letters, int(time.time() * 1000), ledger, dry_run=dry_run, again=again)
    accepted = len(letters) - len(refusals)
    if as_json:
        refused = [{"origin": str(r.origin), "code": r.code, "reason": r.reason} for r in refusals]
        say_json({"replayed": 0 if dry_run else accepted, "acceptable": accepted, "refused": refused})
    else:
        for refusal in refusals:
            say(f"{refusal.origin!s:28} {refusal.code:22} {refusal.reason}")
        told = "would be replayed" if dry_run else "replayed"
        say(f"{accepted} {told}, {len(refusals)} not")
    if refusals:
        raise SystemExit(3)


def _dead_letters() -> Any:
    from features.project.running import project_of_process
    from runtime.environment import connections
    from streams.gate.dead_letters import DeadLetters

    kafka, run = connections()
    return DeadLetters(kafka, run.topic_prefix, project_of_process().pipeline)


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


def _time(epoch_ms: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if epoch_ms >= 0 else "unknown"


def _masked(topic: str, value: bytes | None) -> str:
    """Return a JSON object's text with personal fields masked; nothing of what is not one."""
    import orjson

    from features.project.running import project_of_process

    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return "(not JSON; --bytes shows it)"
    if not isinstance(document, dict):
        return "(not an object; --bytes shows it)"
    versions = project_of_process().pipeline.by_topic[topic].versions
    known = {field.name: field.personal for terms in versions for field in terms.fields}
    return orjson.dumps(
        {name: "***" if known.get(name, True) else item for name, item in document.items()}
    ).decode()


def _text(data: bytes | None) -> str | None:
    """Return bytes as text; what is not UTF-8 as escapes."""
    return None if data is None else data.decode("utf-8", "backslashreplace")
