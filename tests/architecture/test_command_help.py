"""Every command explains itself, with an example."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from headrace.__main__ import cli


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and subcommand."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            yield (*path, name)
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))


@pytest.mark.parametrize("words", list(commands(cli)), ids=" ".join)
def test_help_says_what_it_does_and_shows_an_example(words: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(cli, [*words, "--help"])
    assert answer.exit_code == 0, answer.output
    assert "Example" in answer.output
    assert "headrace " + " ".join(words) in answer.output.partition("Example")[2]
    assert len(answer.output.splitlines()[2].strip()) > 10, "no sentence about what it does"


def test_the_group_lists_every_command() -> None:
    answer = CliRunner().invoke(cli, ["--help"])
    with click.Context(cli) as context:
        for name in cli.list_commands(context):
            assert f"\n  {name} " in answer.output
