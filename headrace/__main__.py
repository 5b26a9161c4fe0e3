"""The console script. Subcommands are found by file name and imported only when they are asked for."""

import contextlib
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from contracts.errors import ConfigError, HeadraceError, Stop
from headrace.groups import NearestGroup
from headrace.printing import escaped
from runtime import ending

COMMANDS = Path(__file__).parent / "commands"
OF_A_CHECKOUT = ("bench", "chaos", "scenario")  # in load/, beside the product and in no installation
BESIDE = Path(__file__).parents[1] / "load" / "commands"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

READER_GONE = 141  # as a shell names the end by SIGPIPE

EPILOG = """
\b
Examples:
  headrace up              servers and all workers on this machine; Ctrl-C stops them
  headrace doctor          what is here, what is missing, and what to do next
  headrace COMMAND --help  every command has an example
"""


class LazyGroup(NearestGroup):
    """A group whose commands are the files of `headrace/commands/`, each exporting `command`.

    In a checkout `load/commands/` has some more. They are found by their place: nothing here imports
    `load`, and no folder of that name elsewhere is taken for it.

    >>> "servers" in LazyGroup("headrace").list_commands(click.Context(LazyGroup("headrace")))
    True
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, sorted."""
        return sorted(_modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's file; None when there is none of that name."""
        module = _modules().get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that only a checkout has is said to be there.

        Raises:
            ConfigError: E_COMMAND_CHECKOUT, this is an installation without `load/`.
        """
        if args and args[0] in OF_A_CHECKOUT and args[0] not in _modules():
            raise ConfigError(
                "E_COMMAND_CHECKOUT", f"`headrace {args[0]}` is not part of an installation", str(BESIDE),
                f"clone the project, run `make setup` there, then `.venv/bin/headrace {args[0]}`",
            )  # fmt: skip
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command; an error of ours becomes one message and its exit code.

        A Stop ends the process at once, without goodbyes: clients that are fenced would wait for an answer.
        A supervisor that named a file for it finds there why the process ended.
        """
        try:
            return super().main(args, *rest, **extra)
        except Stop as stop:
            _note_end(stop)
            click.echo(message(stop), err=True)
            sys.stderr.flush()
            os._exit(stop.exit_code)
        except HeadraceError as error:
            _note_end(error)
            click.echo(message(error), err=True)
            sys.exit(error.exit_code)


def _modules() -> dict[str, str]:
    """Return the module of each command by the command's name."""
    files = (path.stem for path in COMMANDS.glob("*.py") if not path.stem.startswith("_"))
    found = {stem.replace("_", "-"): f"headrace.commands.{stem}" for stem in files}
    beside = (name for name in OF_A_CHECKOUT if (BESIDE / f"{name}.py").is_file())
    return found | {name: f"load.commands.{name}" for name in beside}


def _note_end(error: HeadraceError) -> None:
    """Leave the note that a supervisor asked for; a full disk keeps nobody from ending."""
    with contextlib.suppress(OSError):
        ending.note_end(error)


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
    return "\n".join(map(escaped, lines))  # an error may name a record's id


@click.group(cls=LazyGroup, context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(package_name="headrace")
@click.option("--run", help="Act on this run, by name or folder (default: the project's current one).")
@click.option("--project", help="Folder of the project (default: the run's, the current one, the installed).")
def cli(run: str | None, project: str | None) -> None:
    """Events from Kafka to decisions: streaming features, an online store, a model, and proof."""
    named = run if run is not None else os.environ.get("HEADRACE_RUN")
    if named:
        os.environ["HEADRACE_RUN"] = _run_home(named)
    _choose_project(project)


def _choose_project(named: str | None) -> None:
    """Put the project's folder where this process and those that it starts look for it.

    Where nobody names one it is that of the run which the command acts on.
    """
    from runtime import environment
    from runtime.project_folder import ENVIRONMENT, INSTALLED, chosen_folder
    from runtime.run_project import project_of_run

    folder = chosen_folder(named)
    home = environment.run_home() if folder is None else None
    if home is not None and (known := project_of_run(home)) is not None:
        folder = Path(known.folder) if Path(known.folder) != INSTALLED else None
    if folder is not None:
        os.environ[ENVIRONMENT] = str(folder)


def _run_home(named: str) -> str:
    """Return a run's home for its name, which libraries and processes we start do not know."""
    from runtime import environment
    from runtime.run import FOLDER

    home = environment.root() / FOLDER / "runs" / named
    return str(home.resolve()) if "/" not in named and (home / "run.json").exists() else named


def main() -> None:
    """Run the console script; what nobody expected becomes one coded message and a file with its traceback.

    A reader that goes away before the end (`headrace ... | head`) is no fault: nothing is said of it.
    """
    _open_closed_streams()
    sys.excepthook = _unexpected  # a worker puts its own in its place
    try:
        cli(prog_name="headrace")
    except BrokenPipeError:
        sys.exit(READER_GONE)
    finally:
        _let_go_of_stdout()


def _open_closed_streams() -> None:
    """Give a process that was started with a closed stream (`>&-`) one that takes everything."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _unexpected(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """End with 70, a coded message, and the traceback in a file."""
    internal = HeadraceError(
        "E_INTERNAL", f"something failed that nobody expected: {error!r}", _traceback_file(error),
        "keep that file and report it; `headrace doctor` shows whether something else is wrong",
    )  # fmt: skip
    click.echo(message(internal), err=True)
    sys.stderr.flush()
    os._exit(ending.INTERNAL)


def _traceback_file(error: BaseException) -> str:
    """Write the traceback into a file of its own, readable by its owner alone; return the path."""
    text = "".join(traceback.format_exception(error))
    try:
        descriptor, path = tempfile.mkstemp(prefix="headrace-", suffix=".txt")
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{sys.argv}\n{text}")
    except OSError:
        return text
    return path


def _let_go_of_stdout() -> None:
    """Flush stdout, and leave nothing for Python's own end to fail at when its reader is gone."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
