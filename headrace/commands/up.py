"""`headrace up`: everything on this machine, until Ctrl-C."""

import signal
from pathlib import Path
from types import FrameType

import click

EXAMPLE = """
\b
Examples:
  headrace up
  headrace up --serve
  headrace up --serve --serve-port 8701
  headrace up --learn
  HEADRACE_BOOTSTRAP_SERVERS=127.0.0.1:9092 HEADRACE_REDIS_URL=redis://127.0.0.1:6379/0 headrace up
"""


@click.command(name="up", epilog=EXAMPLE)
@click.option("--serve", is_flag=True, help="Open the HTTP door too; see `headrace serve --help`.")
@click.option(
    "--serve-port", type=click.IntRange(0, 65535), help="Port of --serve; 0 takes a free one (default: 8700)."
)
@click.option("--learn", is_flag=True, help="Run the learner too: live quality, fairness, retraining.")
@click.option(
    "--spares/--no-spares",
    default=True,
    show_default=True,
    help="A second process of each worker that records wait for takes over when it ends, in about a second.",
)
@click.option("--reload", is_flag=True, help="Start the workers again when a Python file of ours changes.")
def command(serve: bool, serve_port: int | None, learn: bool, spares: bool, reload: bool) -> None:
    """Start Kafka, Redis, the topics and every worker, and keep them running; Ctrl-C stops them all.

    A worker that ends is started again, whatever it ended with, and the others go on; what is wrong, and
    what to do about it, is printed. So are servers that do not answer; local ones are started again.
    A second `up` tells what runs already, and exits with 4 when a part of it does not work. Servers named in
    the environment are used instead of local ones.
    """
    from headrace.deployment import Deployment, Up
    from headrace.reload import SourceWatch
    from headrace.supervisor import LEARNER, MIRROR
    from runtime import environment

    if serve_port is not None and not serve:
        raise click.UsageError("--serve-port belongs to --serve")
    environment.check_names()
    root = environment.root()
    if running := Up.running(root):
        _already(root, running)
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    more = [*([("serve",)] if serve else []), *([LEARNER] if learn else [])]
    more += [MIRROR] if environment.models_mlflow() else []
    variables = {} if serve_port is None else {"HEADRACE_SERVE_PORT": str(serve_port)}
    if serve:
        _check_port(serve_port)
    sources = SourceWatch.of_ours() if reload else None
    deployment = Deployment(root, click.echo, more, variables, spares=spares, sources=sources)
    try:
        deployment.start()
        click.echo("up; Ctrl-C stops everything")
        deployment.watch()
    except KeyboardInterrupt:
        click.echo("stopping")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(
                number, signal.SIG_IGN
            )  # an impatient second Ctrl-C must not leave half of it running
        deployment.stop()


def _already(root: Path, running: "object") -> None:
    from headrace.deployment import Up, refuse_if_down

    assert isinstance(running, Up)
    click.echo(f"already up: process {running.process.pid}, run {running.home}")
    refuse_if_down(root, running)
    click.echo("`headrace doctor` shows everything; `headrace down` stops it")


def _check_port(port: int | None) -> None:
    """Say now that the HTTP API's port is taken; the rest starts all the same, the API once it is free."""
    import os

    from headrace.servers.ports import is_free

    wanted = port if port is not None else int(os.environ.get("HEADRACE_SERVE_PORT", "8700"))
    if wanted and not is_free(wanted):
        click.echo(
            f"E_SERVE_PORT: port {wanted} is taken, so the HTTP API waits for it; all else starts\n"
            "  next: end what listens there, or start again with `headrace up --serve --serve-port 0`",
            err=True,
        )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
