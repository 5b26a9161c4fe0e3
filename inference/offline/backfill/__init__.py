"""The same features over the lake: dealt out by partition, folded in log order, written for Feast to read.

Two steps, each a list of tasks that know nothing of each other. `deal` takes some files of the lake and deals
their rows out to the partitions of the entity's stage, where the log does not lie by these already; `task`
folds one partition (`inference.offline.fold`). A task is a value, so that processes of this machine or
workers of a Dask cluster on one file system run it alike.
"""
