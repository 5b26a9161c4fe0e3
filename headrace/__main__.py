"""The console script. Subcommands are found by file name and imported only when they are asked for."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from contracts.errors import HeadraceError, Stop

COMMANDS = Path(__file__).parent / "commands"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

EPILOG = """
\b
Examples:
  headrace up              servers and all workers on this machine; Ctrl-C stops them
  headrace doctor          what is here, what is missing, and what to do next
  headrace COMMAND --help  every command has an example
"""


class LazyGroup(click.Group):
    """A group whose commands are the files of `headrace/commands/`, each exporting `command`.

    >>> "servers" in LazyGroup("headrace").list_commands(click.Context(LazyGroup("headrace")))
    True
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, sorted."""
        files = (path.stem for path in COMMANDS.glob("*.py") if not path.stem.startswith("_"))
        return sorted(stem.replace("_", "-") for stem in files)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's file; None when there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"headrace.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command; an error of ours becomes one message and its exit code.

        A Stop ends the process at once, without goodbyes: clients that are fenced would wait for an answer.
        """
        try:
            return super().main(args, *rest, **extra)
        except Stop as stop:
            click.echo(message(stop), err=True)
            sys.stderr.flush()
            os._exit(stop.exit_code)
        except HeadraceError as error:
            click.echo(message(error), err=True)
            sys.exit(error.exit_code)


def message(error: HeadraceError) -> str:
    """Return what the operator reads: what, where, what next.

    >>> print(message(HeadraceError("E_EXAMPLE", "the lake is empty", "runs/main/lake", "run `headrace up`")))
    Error E_EXAMPLE: the lake is empty
      where: runs/main/lake
      next:  run `headrace up`
    """
    lines = [f"Error {error.code}: {error.what}"]
    if error.where:
        lines.append(f"  where: {error.where}")
    if error.next_step:
        lines.append(f"  next:  {error.next_step}")
    return "\n".join(lines)


@click.group(cls=LazyGroup, context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(package_name="headrace")
def cli() -> None:
    """Card payments from Kafka to decisions: streaming features, an online store, a model, and proof."""


def main() -> None:
    """Run the console script."""
    cli(prog_name="headrace")


if __name__ == "__main__":
    main()
