"""Kinds of parameters that several commands share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from contracts.pipeline import Pipeline


class OutputFile(click.Path):
    """A file to write, refused at once where it could not be written at the end; `-` may mean stdout."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True, allow_dash=True)

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the path; a usage error where its folder is not there or may not be written to."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if str(path) == "-":
            return path
        if not path.parent.is_dir():
            self.fail(f"the folder {str(path.parent)!r} is not there", param, ctx)
        if not path.exists() and not os.access(path.parent, os.W_OK):
            self.fail(f"the folder {str(path.parent)!r} may not be written to", param, ctx)
        return path


class EntityName(click.ParamType):
    """An entity of the project's chain; which there are is looked up only when a command runs."""

    name = "entity"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; a usage error where no entity of the chain has it."""
        names = _pipeline().chain.names
        if value not in names:
            self.fail(f"{value!r} is no entity of the project: choose from {', '.join(names)}", param, ctx)
        return value


class SourceTopic(click.ParamType):
    """A topic of one of the project's sources; which there are is looked up only when a command runs."""

    name = "topic"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the topic; a usage error where no source has it."""
        topics = tuple(_pipeline().by_topic)
        if value not in topics:
            self.fail(f"{value!r} is no source's topic: choose from {', '.join(topics)}", param, ctx)
        return value


def _pipeline() -> "Pipeline":
    from features.project.running import project_of_process

    return project_of_process().pipeline


OUTPUT = OutputFile()
ENTITY = EntityName()
SOURCE_TOPIC = SourceTopic()
