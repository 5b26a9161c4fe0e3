"""One fold over the lake: rows in log order through the stream's own state, as of each.

Verification, backfill, hand-over, seeds and replay ask for it with a `Selection`, which says what of a
stage's log is read and which of its rows are folded; training sets read what a backfill made with it.
"""
