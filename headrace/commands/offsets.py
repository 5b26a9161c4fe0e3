"""`headrace offsets`: where a reader's input is damaged, and how it goes on."""

import sys
from typing import Any

import click

from headrace.groups import NearestGroup

EXAMPLE = """
\b
Examples:
  headrace offsets show
  headrace offsets accept-loss --topic orders --partition 2 --reason "retention was 1 h; INC-1204"
  headrace offsets accept-loss --topic orders --reason "made again by the orders team"
"""


@click.group(name="offsets", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Show records that were deleted before they were read, and topics that were made again.

    A worker that meets one of these stops: it never passes over records silently. Bring them back (from a
    backup, or a broker that is away), or accept the loss: that is recorded in the lake, and `verify`,
    `backfill --compare`, `replay` and `explain` say it from then on.
    """


@command.command(epilog="Example: headrace offsets show --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """List open holes (a reader waits), accepted ones, and topics that were made again."""
    import msgspec

    from headrace.lost_input import LostInput
    from runtime import environment

    kafka, run = environment.connections()
    found = LostInput(kafka, run).show()
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
        return
    lines = [f"OPEN      {hole.words}" for hole in found.open]
    lines += [f"AGAIN     {name} was made again, and is not read" for name in found.made_again]
    lines += [f"accepted  {hole.words}; by {hole.who}: {hole.why}" for hole in found.accepted]
    lines += [f"accepted  {name} is generation {number}" for name, number in found.generations.items()]
    click.echo("\n".join(lines) or "nothing is missing: no reader met a hole, and no topic was made again")


@command.command(name="accept-loss", epilog=EXAMPLE)
@click.option("--topic", required=True, help="Name without the run's prefix.")
@click.option("--partition", type=click.IntRange(min=0), help="Of the hole (default: every open one).")
@click.option("--reason", required=True, help="Why the records are gone; kept for good.")
@click.option("--who", help="Who accepts it (default: the user of this process).")
def accept_loss(topic: str, partition: int | None, reason: str, who: str | None) -> None:
    """Let readers go on behind records that are gone, and record who accepted that, and why."""
    import getpass

    from headrace.lost_input import LostInput
    from runtime import environment

    kafka, run = environment.connections()
    if not reason.strip():
        raise click.UsageError("a reason is needed")
    accepted: list[Any] = LostInput(kafka, run).accept(topic, partition, who or getpass.getuser(), reason)
    for line in accepted:
        click.echo(f"accepted  {line}")
    click.echo("workers that stopped go on from there when they are started again")
