"""Commands that only a checkout has: one file a command, as in `headrace/commands/`."""
