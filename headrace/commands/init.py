"""`headrace init`: the folder of a new project, from a template or from somebody's file of records."""

import sys
from pathlib import Path

import click

from headrace.init.templates import SMALLEST, template_names
from headrace.printing import say, say_json, warn

EXAMPLE = """
\b
Examples:
  headrace init shop                      the smallest project that runs: one source, one entity, one view
  headrace init takeover -t logins        account take-over: a chain of three, context, late labels, a model
  headrace init rides --from rides.csv    your own records: contracts, features and a policy, guessed
  headrace init risk --from orders.parquet --label was_returned
  headrace init risk --from orders.ndjson --labels returns.csv
"""
FILE = click.Path(path_type=Path)


@click.command(name="init", epilog=EXAMPLE)
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--template", "-t", type=click.Choice(template_names()),
    help=f"What the project begins as (default: {SMALLEST}).",
)  # fmt: skip
@click.option("--from", "file", type=FILE, help="Guess the project from records: Parquet, CSV, NDJSON, JSON.")
@click.option("--labels", type=FILE, help="With --from: a file of labels, which name records by their id.")
@click.option("--label", default="", metavar="COLUMN", help="With --from: the column that is the label.")
@click.option("--key", "keys", multiple=True, metavar="COLUMN", help="With --from: a column that is a key.")
@click.option("--json", "as_json", is_flag=True, help="With --from: print the guesses as JSON.")
def command(
    name: Path, template: str | None, file: Path | None, labels: Path | None, label: str,
    keys: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Make the folder NAME with a project that is right and runs: `check` and `demo` work at once.

    The folder is made, or is there and empty: nothing is written over. With --from the project is guessed
    from a file: times, ids, keys, types, ranges, personal fields, labels; then a first set of features. Each
    guess is printed, and stands in the files as a comment with how sure it is and what to change. A label in
    a column of the file becomes a source of its own: nobody has it when its record comes.
    """
    if file is None:
        if labels or label or keys or as_json:
            raise click.UsageError("--labels, --label, --key and --json belong to --from")
        _from_template(name, template or SMALLEST)
        return
    if template is not None:
        raise click.UsageError("give --template or --from, not both")
    _from_file(name, file, labels, label, keys, as_json)


def _from_template(name: Path, template: str) -> None:
    from headrace.init.folder import new_folder, project_name
    from headrace.init.templates import begin_as

    folder = new_folder(name)
    written = begin_as(template, folder, project_name(folder))
    say(f"{name}: {len(written)} files of the template {template}", *_next(name))


def _from_file(
    name: Path, file: Path, labels: Path | None, label: str, keys: tuple[str, ...], as_json: bool
) -> None:
    from headrace.init.begin import as_json as document
    from headrace.init.begin import begin_from, shown
    from headrace.init.folder import new_folder, project_name
    from headrace.init.infer import infer

    found = infer(file, labels=labels, label=label, keys=keys)
    folder = new_folder(name)
    problems = begin_from(found, folder, project_name(folder))
    if as_json:
        say_json({**document(found), "problems": problems})
    else:
        say(f"{name}: guessed from {found.rows:,} rows of {file}", *shown(found), *_next(name))
    warn(*problems)
    sys.exit(2 if problems else 0)


def _next(name: Path) -> list[str]:
    return [
        "next:",
        f"  headrace --project {name} check    what is wrong in it, with file and line: nothing yet",
        f"  headrace --project {name} demo     real Kafka and Redis, records in, a summary that adds up",
        f"  {name}/README.md    what each file says",
    ]
