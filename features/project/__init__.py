"""A use case from its folder: declarations loaded by path, checked all at once, compiled for the engine."""
