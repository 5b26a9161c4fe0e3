"""Scenarios: stories of event time that run on real servers from one command, with figures and a plot."""
