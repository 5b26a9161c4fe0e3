"""The demo: history, a model, live payments, and a summary that must add up."""
