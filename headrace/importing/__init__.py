"""`headrace import`: history out of files into the lake, the state and the store of a run that has none.

Files are judged as the gate judges records, put into one order, taken through the stages' own code, and
written as a lake of their own (`imported/` in the run's); the run then begins with a seed of it.
"""
