"""`headrace up`: everything on this machine, until Ctrl-C."""

import signal
from types import FrameType

import click

EXAMPLE = """
\b
Examples:
  headrace up
  headrace up --serve
  headrace up --learn
  HEADRACE_BOOTSTRAP_SERVERS=127.0.0.1:9092 HEADRACE_REDIS_URL=redis://127.0.0.1:6379/0 headrace up
"""


@click.command(name="up", epilog=EXAMPLE)
@click.option("--serve", is_flag=True, help="Open the HTTP door too; see `headrace serve --help`.")
@click.option("--learn", is_flag=True, help="Run the learner too: live quality, fairness, retraining.")
def command(serve: bool, learn: bool) -> None:
    """Start Kafka, Redis, the topics and every worker, and keep them running; Ctrl-C stops them all.

    A second `up` tells what runs already. Servers named in the environment are used instead of local ones.
    """
    from headrace import environment
    from headrace.deployment import Deployment, Up
    from headrace.supervisor import LEARNER, MIRROR

    environment.check_names()
    root = environment.root()
    if running := Up.running(root):
        click.echo(f"already up: process {running.process.pid}, run {running.home}")
        click.echo("`headrace doctor` shows everything; `headrace down` stops it")
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    more = [*([("serve",)] if serve else []), *([LEARNER] if learn else [])]
    more += [MIRROR] if environment.models_mlflow() else []
    deployment = Deployment(root, click.echo, more)
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


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
