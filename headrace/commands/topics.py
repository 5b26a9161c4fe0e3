"""`headrace topics`: the run's topics on whatever cluster the environment names."""

import click

from headrace.groups import NearestGroup

EXAMPLE = """
\b
Examples:
  headrace topics create
  headrace topics create --replication 3
  headrace topics create --partitions 1
  headrace topics check
  headrace topics grow
  headrace topics configure
"""


@click.group(name="topics", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Create the topics of the table, check that a cluster has them as they must be, or alter them."""


@command.command(epilog="Example: headrace topics create --replication 3")
@click.option(
    "--replication", type=click.IntRange(1, 9), help="Copies (default: one a broker, at most three)."
)
@click.option("--partitions", type=click.IntRange(1, 64), help="Of each topic of a new run (default: 4).")
def create(replication: int | None, partitions: int | None) -> None:
    """Create what is missing, and the run called main when there is no run yet."""
    import os

    from headrace import topics_admin
    from headrace.run_project import own_run
    from runtime import environment
    from runtime.settings import GuardSettings

    environment.check_names()
    kafka = environment.kafka_connection()
    named = "HEADRACE_RUN" in os.environ
    if named and partitions is not None:
        raise click.UsageError("--partitions is for a new run: leave --run (HEADRACE_RUN) out")
    run = environment.current_run() if named else own_run(environment.root(), partitions)
    settings = environment.settings_of(GuardSettings)
    created = topics_admin.ensure(kafka, run.topic_prefix, replication or 0, run.partitions, settings)
    click.echo(f"created: {', '.join(created)}" if created else "all topics are there, as the table says")


@command.command(epilog="Example: headrace topics check")
def check() -> None:
    """Name every difference between the cluster and the table; exit code 4 when there is one."""
    from headrace import topics_admin
    from runtime import environment

    kafka, run = environment.connections()
    topics_admin.check(kafka, run.topic_prefix, run.partitions)
    for name, count in topics_admin.grown(kafka, run.topic_prefix, run.partitions).items():
        click.echo(f"{name} has {count} partitions, more than the run: those beyond are read too")
    click.echo("all topics are there, as the table says")


@command.command(epilog="Example: headrace topics grow")
def grow() -> None:
    """Give topics that have fewer partitions than the run as many as it has."""
    from headrace import topics_admin
    from runtime import environment

    kafka, run = environment.connections()
    altered = topics_admin.grow(kafka, run.topic_prefix, run.partitions)
    click.echo(f"grown: {', '.join(altered)}" if altered else "every topic has the run's partitions, or more")


@command.command(epilog="Example: headrace topics configure")
def configure() -> None:
    """Set retention, cleanup and timestamps of the run's topics as the table says."""
    from headrace import topics_admin
    from runtime import environment

    kafka, run = environment.connections()
    altered = topics_admin.configure(kafka, run.topic_prefix, run.partitions)
    click.echo(f"set: {', '.join(altered)}" if altered else "every topic's settings are the table's")
