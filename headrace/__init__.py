"""The operator's desk: command line, settings, local servers, workers and what they report."""
