"""Mutated inputs, grown from real ones, against every decoder of bytes that come from outside a process.

`python -m tests.fuzz DECODER --count N` (see `__main__`); a short run of all is in `test_fuzz`.
"""
