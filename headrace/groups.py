"""Groups of commands that answer a mistyped name with the nearest one there is."""

import difflib

import click


class NearestGroup(click.Group):
    """A group whose answer to an unknown command names the nearest known one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that is not there is a usage error with a suggestion."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            nearest = difflib.get_close_matches(args[0], known, n=1)
            advice = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(known)}."
            ctx.fail(f"No such command {args[0]!r}. {advice}")
        return super().resolve_command(ctx, args)
