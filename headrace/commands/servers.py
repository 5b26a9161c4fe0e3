"""`headrace servers`: the local Kafka and Redis by themselves, without workers."""

import click

from headrace.groups import NearestGroup

EXAMPLE = """
\b
Examples:
  headrace servers start
  headrace servers status --json
  headrace servers stop
  headrace servers tool kafka-console-consumer --topic predictions --isolation-level read_committed
"""


@click.group(name="servers", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Start, stop and show the local Kafka and Redis."""


@command.command(epilog="Example: headrace servers start")
def start() -> None:
    """Start Kafka and Redis, or say where they run already; they stay until they are stopped."""
    from headrace.servers import LocalServers
    from runtime import environment

    environment.check_names()
    local = LocalServers(environment.root())
    told = "already running" if local.running else "started"
    servers = local.start()
    click.echo(f"{told}: Kafka {servers.bootstrap_servers}, Redis {servers.redis_url}")


@command.command(epilog="Example: headrace servers stop")
def stop() -> None:
    """Stop Kafka and Redis; what Kafka stored stays, Redis starts empty."""
    from headrace.servers import LocalServers
    from runtime import environment

    local = LocalServers(environment.root())
    told = "stopped" if any(status.running for status in local.status()) else "nothing was running"
    local.stop()
    click.echo(told)


@command.command(epilog="Example: headrace servers status --json")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def status(as_json: bool) -> None:
    """Show what runs, where, and where its log is."""
    import msgspec

    from headrace.servers import LocalServers
    from runtime import environment

    rows = LocalServers(environment.root()).status()
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        where = f"127.0.0.1:{row.port}, process {row.pid}" if row.running else "not running"
        click.echo(f"{row.name:6} {where}, log {row.log}")


@command.command(
    epilog="Example: headrace servers tool kafka-topics --list",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
)
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def tool(name: str, arguments: tuple[str, ...]) -> None:
    """Run one of Kafka's own console programs, NAME, on the local Kafka.

    kafka-console-consumer, kafka-console-producer, kafka-topics, kafka-consumer-groups, kafka-configs.
    """
    import os

    from headrace.servers import LocalServers
    from runtime import environment

    local = LocalServers(environment.root())
    bootstrap = environment.kafka_connection().bootstrap_servers
    command_line = local.kafka.tool(name, ["--bootstrap-server", bootstrap, *arguments])
    os.execv(command_line[0], command_line)  # noqa: S606  # the program takes over the screen
