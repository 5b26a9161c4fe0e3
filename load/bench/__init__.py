"""Benchmarks: named, seeded scenarios, each beside its floor or its peers, figures stored as data."""
