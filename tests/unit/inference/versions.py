"""Versions of a registry whose files are no models: enough for tests of who is in service."""

from inference.registry import Change, Registry

CHANGE = Change(who="tester", at_ms=1, why="because")
MANIFEST = {
    "definitions_hash": "0" * 16, "features": ["a"], "thresholds": {"review": 0.1, "decline": 0.9},
    "metrics": {"average_precision": 0.5},
}  # fmt: skip


def add(registry: Registry, text: bytes = b"tree") -> str:
    """Add a version and return its id."""
    return registry.add("fraud", {"model.txt": text, "golden.json": b"{}"}, MANIFEST, CHANGE).id
