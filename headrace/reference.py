"""The reference pages, made from the code, from features to commands. A test compares them.

python -m headrace.reference          write docs/reference/
"""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

import click

from contracts.pipeline import Pipeline
from contracts.topics import DAY_MS
from features import aggregations
from features.aggregations import Aggregation, Kept
from features.definition import Feature, View, Window
from features.expressions import describe
from features.project.running import RunningProject, project_of_process
from headrace import runbook
from headrace.__main__ import cli
from runtime import environment

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
RUNBOOK = FOLDER.parent / "runbook.md"
NOTE = "<!-- made by `python -m headrace.reference`; edit the code instead -->\n\n"


def pages(project: RunningProject) -> dict[str, str]:
    """Return every page's text by file name; features and topics are those of a project."""
    return {
        "features.md": NOTE + "\n".join(_features(project)) + "\n",
        "aggregations.md": NOTE + "\n".join(_aggregations()) + "\n",
        "topics.md": NOTE + "\n".join(_topics(project.pipeline)) + "\n",
        "settings.md": NOTE + "\n".join(_settings()) + "\n",
        "commands.md": NOTE + "\n".join(_commands()) + "\n",
    }


def _features(project: RunningProject) -> Iterator[str]:
    service, batch = project.service, project.profile
    yield f"# Features\n\nService `{service.name}`, definitions `{project.definitions_hash}`.\n"
    yield "Windows are sawtooth windows: exact at their head, their tail moves in hops. *Current* says"
    yield "whether the event being judged counts itself. Money is in minor units, time in ms, null is NaN.\n"
    for entity in project.entities:
        for view in entity.views:
            yield from _view(entity.join_key, view)
    yield f"## {batch.name} (batch, by {batch.join_key})\n"
    yield f"Filled by `feast materialize`; stale after {batch.max_age_ms // DAY_MS} days.\n"
    yield from [f"- `{name}`" for name in batch.columns]
    yield "\n## From the event\n"
    yield from [f"- `{one.name}`: {describe(one.tree)}" for one in service.of_event]
    yield "\n## Derived from other features\n"
    yield "A division by zero is null ([expressions](../expressions.md)).\n"
    yield from [f"- `{one.name}`: {describe(one.tree)}" for one in service.of_features]


def _view(join_key: str, view: View) -> Iterator[str]:
    yield f"## {view.name} (streamed, by {join_key})\n"
    yield "| feature | aggregation | of | window | hop | current |\n|---|---|---|---|---|---|"
    for feature in view.features:
        yield _feature(view, feature)
    yield ""


def _feature(view: View, feature: Feature) -> str:
    window, hop = "longest of the view", ""
    if feature.window is not None:
        window = feature.window.label
        hop = (
            f"{feature.window.hop_ms // 60_000} min" if feature.window.kind in ("sawtooth", "delayed") else ""
        )
    of = view.item_of(feature) or view.measure_of(feature) or "rows"
    of = f"whether {describe(feature.condition)}" if feature.condition is not None else of
    name = feature.aggregation.name.replace("_", " ")
    columns = ", ".join(f"`{column}`" for column in feature.columns)
    return f"| {columns} | {name} | {of} | {window} | {hop} | {'yes' if feature.current else 'no'} |"


def _aggregations() -> Iterator[str]:
    yield "# Aggregations and windows\n"
    yield "Each aggregation is one file in `features/aggregations/`, whose page this is. `t` is the moment a"
    yield "row is judged at or a reader asks for; values are integers, decimals in their smallest units until"
    yield "they leave. What cannot be declared (a session of quantiles, say) is refused with a code.\n"
    yield "## Windows\n"
    yield _text(Window).partition("    >>> ")[0].partition("\n\n")[2].replace("\n    ", "\n").strip() + "\n"
    yield "| aggregation | no window | sawtooth | delayed | lifetime | session | last n |"
    yield "|---|---|---|---|---|---|---|"
    for aggregation in _declarable():
        kept = ("yes" if kind in aggregation.kept_over else "" for kind in (None, *get_args(Kept)))
        yield f"| {aggregation.__name__} | {' | '.join(kept)} |"
    for page in sorted({aggregation.__module__ for aggregation in _declarable()}):
        yield from _page(import_module(page))


def _declarable() -> list[type[Aggregation]]:
    found = [getattr(aggregations, name) for name in aggregations.__all__]
    return [each for each in found if isinstance(each, type) and hasattr(each, "op")]


def _page(module: ModuleType) -> Iterator[str]:
    title, _, body = _text(module).partition("\n\n")
    yield f"\n## {title.rstrip('.')}\n"
    facts = re.split(r"\n(?=[A-Z][a-z]+: )", body.strip())
    for fact in facts:
        name, _, text = " ".join(fact.split()).partition(": ")
        escaped = text.replace("*", "\\*")
        yield f"- **{name}**: {escaped}"


def _text(thing: object) -> str:
    return thing.__doc__ or ""


def _topics(pipeline: Pipeline) -> Iterator[str]:
    yield "# Topics\n\nNames on a cluster have the run's prefix in front. `headrace doctor` refuses others.\n"
    yield "| topic | what | key | partitions | kept | timestamps | owner |\n|---|---|---|---|---|---|---|"
    for topic in pipeline.topics:
        kept = "compacted" if topic.compacted else f"{topic.retention_ms // DAY_MS} days"
        stamp = "append" if topic.log_append_time else "create"
        facts = (topic.about, topic.key, str(topic.partitions), kept, stamp, topic.owner)
        yield f"| `{topic.name}` | {' | '.join(facts)} |"


def _settings() -> Iterator[str]:
    yield "# Settings\n\nRead from the environment once, at start; a name that means nothing is refused.\n"
    yield "| variable | what |\n|---|---|"
    for name, about in environment.known().items():
        yield f"| `{name}` | {about} |"


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    context = click.Context(cli, info_name="headrace", **cli.context_settings)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            yield from _command(f"headrace {name}", command, context)


def _command(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, parent, name.split()[-1], max_content_width=100)
    yield f"## {name}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _command(f"{name} {child}", command.commands[child], context)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages(project_of_process())
    for file_name, text in made.items():
        (FOLDER / file_name).write_text(text)
    RUNBOOK.write_text(NOTE + "\n".join(runbook.page()))
    sys.stdout.write(f"{FOLDER}: {', '.join(made)}\n")
