"""The oracle: what must have come out of a run, recomputed from its topics, with no code of the service.

It imports nothing from `contracts`, `features`, `streams` or `inference`: frames, lanes, hashes, windows,
verdicts, scores and rows of the online store are written out here a second time, in plain Python integers
and after the written formulas. The features' declarations and the model come as data.
"""
