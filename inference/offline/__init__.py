"""What works from the lake, with no worker running: features made again, checked, explained, learned from.

`lake` reads it, `fold` makes features of it; `backfill`, `training`, `verify` and `replay` use them.
"""
