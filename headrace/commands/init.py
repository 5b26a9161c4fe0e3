"""`headrace init`: the folder of a new project, from a template."""

from pathlib import Path

import click

from headrace.init.templates import SMALLEST, begin_as, template_names
from headrace.printing import say

EXAMPLE = """
\b
Examples:
  headrace init shop                  the smallest project that runs: one source, one entity, one view
  headrace init takeover -t logins    account take-over: a chain of three, context, late labels, a model
"""


@click.command(name="init", epilog=EXAMPLE)
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--template", "-t", type=click.Choice(template_names()), default=SMALLEST,
    show_default=True, help="What the project begins as.",
)  # fmt: skip
def command(name: Path, template: str) -> None:
    """Make the folder NAME with a project that is right and runs: `check` and `demo` work at once.

    The folder is made, or is there and empty: nothing is written over.
    """
    from headrace.init.folder import new_folder, project_name

    folder = new_folder(name)
    written = begin_as(template, folder, project_name(folder))
    say(f"{name}: {len(written)} files of the template {template}", *_next(name))


def _next(name: Path) -> list[str]:
    return [
        "next:",
        f"  headrace --project {name} check    what is wrong in it, with file and line: nothing yet",
        f"  headrace --project {name} demo     real Kafka and Redis, records in, a summary that adds up",
        f"  {name}/README.md    what each file says",
    ]
