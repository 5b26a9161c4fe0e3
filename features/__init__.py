"""One definition of every feature: declarations, aggregations, windows, state. Pure: no clock, no I/O."""
