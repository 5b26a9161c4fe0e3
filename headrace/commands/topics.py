"""`headrace topics`: the run's topics on whatever cluster the environment names."""

import click

EXAMPLE = """
\b
Examples:
  headrace topics create
  headrace topics create --replication 3
  headrace topics check
"""


@click.group(name="topics", epilog=EXAMPLE)
def command() -> None:
    """Create the topics of the table, or check that a cluster has them as they must be."""


@command.command(epilog="Example: headrace topics create --replication 3")
@click.option("--replication", type=click.IntRange(1, 9), default=1, show_default=True, help="Copies.")
def create(replication: int) -> None:
    """Create what is missing, and the run called main when there is no run yet."""
    import os

    from headrace import environment, topics_admin
    from headrace.run import Run

    environment.check_names()
    kafka = environment.kafka_connection()
    run = environment.current_run() if "HEADRACE_RUN" in os.environ else Run.main(environment.root())
    created = topics_admin.ensure(kafka, run.topic_prefix, replication, run.partitions)
    click.echo(f"created: {', '.join(created)}" if created else "all topics are there, as the table says")


@command.command(epilog="Example: headrace topics check")
def check() -> None:
    """Name every difference between the cluster and the table; exit code 4 when there is one."""
    from headrace import environment, topics_admin

    kafka, run = environment.connections()
    topics_admin.check(kafka, run.topic_prefix, run.partitions)
    click.echo("all topics are there, as the table says")
