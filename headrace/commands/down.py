"""`headrace down`: stop whatever `headrace up` or `headrace servers start` left running."""

import click

EXAMPLE = """
\b
Example:
  headrace down
"""


@click.command(name="down", epilog=EXAMPLE)
def command() -> None:
    """Stop the workers of a running `up`, then Kafka and Redis; .headrace/ stays as it is."""
    from headrace.deployment import stop_everything
    from runtime import environment

    stopped = stop_everything(environment.root())
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
