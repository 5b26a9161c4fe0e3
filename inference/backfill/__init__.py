"""The same features over the lake: split by partition, folded in log order, written where Feast reads them.

Two steps, each a list of tasks that know nothing of each other. `split` takes some files of the lake and
deals their rows out to the partitions of the entity's stage; `fold` takes one partition, sorts it by place in
the log (on disk when it must), and runs the stream's own state over it. A task is a value, so that processes
of this machine or workers of a Dask cluster on one file system run it alike.
"""
