"""Reading the lake: datasets, samples, rows in the order of the log, profiles as of a moment."""
