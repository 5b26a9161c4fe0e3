"""One definition of every feature: declarations, aggregations, windows, state. No clock; `project` reads."""
