"""Two peers run in an environment of their own (see `load.peers.requirements.lock`): no doctests here."""

collect_ignore = ["w1_bytewax.py", "w1_quix.py"]
