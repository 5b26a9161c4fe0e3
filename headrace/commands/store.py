"""`headrace store`: whose rows stand in the online store."""

import click

from headrace.groups import NearestGroup

EXAMPLE = """
\b
Examples:
  headrace store owner
  headrace store take-over --reason "the run of May is over"
"""


@click.group(name="store", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Show which run owns the rows in the online store, or let this run take them over."""


@command.command(epilog="Example: headrace store owner")
def owner() -> None:
    """Name the run that owns the database that this run would use; exit code 5 when it is another."""
    from headrace import guarding
    from runtime import environment
    from runtime.store_owner import check_owner, owner_key

    run = environment.current_run()
    said = guarding.ask_store(environment.redis_connection(run), "GET", owner_key(run.project))
    check_owner(said, guarding.owner_of(run), run.project)
    click.echo(f"{guarding.owner_of(run).words}: this run" if said else "nobody yet")


@command.command(name="take-over", epilog=EXAMPLE)
@click.option("--reason", required=True, help="Why the other run's rows may be replaced; kept for good.")
def take_over(reason: str) -> None:
    """Make this run the owner: its stages write their rows, and workers of the other run end with a code.

    Rows of an older run are refused by the store beside those of a newer one, so only the newer one of two
    runs may take over.
    """
    from headrace import guarding
    from runtime import environment

    run = environment.current_run()
    mine = guarding.owner_of(run)
    guarding.take_over(environment.redis_connection(run), run.project, mine, reason)
    click.echo(f"the rows are of {mine.words} now")
