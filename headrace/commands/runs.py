"""`headrace runs`: which runs there are, and which one commands act on."""

import sys

import click

from headrace.groups import NearestGroup

EXAMPLE = """
\b
Examples:
  headrace runs list
  headrace runs use main
  headrace runs adopt
  headrace --run demo-20260101-120000-77 dlq list
"""


@click.group(name="runs", cls=NearestGroup, epilog=EXAMPLE)
def command() -> None:
    """Show the runs of this place and choose the current one.

    Commands act on the current run unless --run or HEADRACE_RUN names another. `headrace up` makes its run
    the current one; a demo leaves it as it is, unless there was none.
    """


@command.command(name="list", epilog="Example: headrace runs list --json")
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def list_runs(as_json: bool) -> None:
    """Show every run: when it was created, whether workers of it run, its size, and which is current."""
    import msgspec

    from headrace.run_list import listed
    from runtime import environment

    rows = listed(environment.root())
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(rows) + b"\n")
        return
    if not rows:
        click.echo("no run yet: `headrace up` or `headrace demo` makes one")
    for row in rows:
        mark = "*" if row.is_current else " "
        running = f"running: {', '.join(row.workers)}" if row.workers else "not running"
        size = f"{row.size_bytes / 1e6:8,.1f} MB"
        click.echo(f"{mark} {row.name:30} created {row.created}  {size}  {row.what}; {running}")


@command.command(epilog="Example: headrace runs use main")
@click.argument("name")
def use(name: str) -> None:
    """Make the run called NAME the current one."""
    from runtime import environment
    from runtime.run import Run

    run = Run.named(environment.root(), name)
    run.make_current(environment.root())
    click.echo(f"current: {run.name}, {run.home}")


@command.command(epilog="Example: HEADRACE_PROJECT=examples/logins headrace runs adopt")
def adopt() -> None:
    """Let the run go on with its project as the folder has it now, and show what differs from before.

    For changes that touch no entity's windows: a contract, a model's inputs, a batch view. Where an entity
    has changed, `headrace backfill --warm` hands its state over and adopts the project itself; a stage whose
    state is of other definitions does not start either way. Refused while workers of the run are running.
    """
    from contracts.errors import StateError
    from headrace.run_list import running_workers
    from headrace.run_project import adopt_project
    from runtime import environment

    run = environment.current_run()
    if workers := running_workers(run):
        raise StateError(
            "E_RUN_WORKERS", f"workers of the run are running: {', '.join(workers)}", str(run.home),
            "stop them (`headrace down`), so that all of them begin again under one form of the project",
        )  # fmt: skip
    changed = adopt_project(run)
    click.echo("\n".join(changed) if changed else "the project is as the run knows it")
