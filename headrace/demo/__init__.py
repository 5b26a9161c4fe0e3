"""The demo: history, a model, live records, and a summary that must add up."""
